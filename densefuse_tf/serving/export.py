"""Exports the fusion graph as a SavedModel for TensorFlow Serving, as LiteRT or ONNX.

A SavedModel needs TensorFlow and nothing of this package to run. LiteRT and ONNX files
hold the graph of its signature `serving_default` alone.
"""

import contextlib
import functools
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from densefuse_tf import extras
from densefuse_tf.errors import UserError
from densefuse_tf.fusion import graph
from densefuse_tf.fusion import inference
from densefuse_tf.fusion.channels import source_names
from densefuse_tf.fusion.output_range import average_divisor
from densefuse_tf.fusion.output_range import to_pixels_in_graph
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import files
from densefuse_tf.model import strategies
from densefuse_tf.serving import converters
from densefuse_tf.serving import signatures
from densefuse_tf.serving.settings import ExportSettings

# Where TensorFlow Serving looks for requests to run before it reports ready.
_WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
_WARMUP_SIZE = 256
# How the source files begin that AutoGraph writes into the temporary folder.
_GENERATED = "__autograph_generated_file"


@contextlib.contextmanager
def _leaving_no_source() -> Iterator[None]:
    """Removes AutoGraph's source files, which TensorFlow keeps to the process's end.

    They have been imported by then. What a kill leaves is removed after a day.
    """
    files.remove_abandoned(tempfile.gettempdir(), f"{_GENERATED}*.py")
    before, no_bytecode = set(sys.modules), sys.dont_write_bytecode
    # Python would leave their bytecode beside them.
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = no_bytecode
        for name in set(sys.modules) - before:
            if name.startswith(_GENERATED):
                pathlib.Path(str(sys.modules[name].__file__)).unlink(missing_ok=True)


@_leaving_no_source()
def export(
    fusion: FusionSettings,
    output: str | os.PathLike,
    settings: ExportSettings,
) -> None:
    """Writes the fusion graph of a checkpoint, whole or not at all.

    Args:
      fusion: The settings of the fusion. The SavedModel decides on colour as
        with color="auto", and computes all images whole.
      output: A new folder for a SavedModel; TensorFlow Serving expects its name to be
        the version, a number. A new file *.tflite or *.onnx for the other formats.
      settings: Says in which form.

    Raises:
      UserError: One of the settings cannot be used, `output` exists or cannot be
        written, a package that the format needs is missing, or a LiteRT or ONNX file
        does not compute what the checkpoint does.
    """
    output = pathlib.Path(output)
    suffix = converters.SUFFIXES.get(settings.format, "")
    if suffix and output.suffix != suffix:
        raise UserError(f"{output}: expected a name that ends in {suffix}")
    if not suffix and output.suffix in converters.SUFFIXES.values():
        raise UserError(
            f"{output}: is named as a file, and a SavedModel is a folder: expected "
            f"another name, or the format {' or '.join(converters.SUFFIXES)}"
        )
    if fusion.precision == "tf32":
        raise UserError(
            "precision is 'tf32': expected float32; TF32 is a switch of the process "
            "that serves the model (docs/serving.md)"
        )
    if suffix and fusion.precision != "float32":
        raise UserError(
            f"precision is {fusion.precision!r} with the format {settings.format}: "
            "expected float32, or the format saved_model"
        )
    files.check_free(output)
    if suffix:
        extras.require(settings.format, f"the format {settings.format}")
    if settings.warmup:
        extras.require("serving", "the warm-up file")
    strategies.load(fusion.strategy_module)
    divisor = average_divisor(fusion)
    rescale = functools.partial(
        to_pixels_in_graph,
        output_range=fusion.output_range,
        divisor=float(divisor),
    )
    try:
        if suffix:
            # The converters know no in-place update, so they get the layers that pad.
            model = graph.load_fusion_model(
                fusion.checkpoint,
                strategy=fusion.strategy,
                num_sources=fusion.num_sources,
                window_radius=fusion.window_radius,
            )
            with files.replacing(output, overwrite=False) as temporary:
                converters.write(model, rescale, settings.format, temporary)
        else:
            inference_graph = inference.InferenceGraph(fusion)
            with files.creating_folder(output) as temporary:
                _write_saved_model(
                    inference_graph, rescale, settings.max_pixels, temporary
                )
                if settings.warmup:
                    names = source_names(fusion.num_sources)
                    _write_warmup(names, temporary, output.absolute().parent.name)
    except (tf.errors.OpError, OSError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise UserError(f"{output}: cannot be written: {reason}") from error


def _write_saved_model(
    inference_graph: inference.InferenceGraph,
    rescale: signatures.Rescale,
    max_pixels: int,
    folder: pathlib.Path,
) -> None:
    functions = signatures.signatures(inference_graph, rescale, max_pixels)
    module = tf.Module()
    # Plain variables: a Keras layer would take its class along.
    module.weights = inference_graph.variables
    tf.saved_model.save(module, str(folder), signatures=functions)


def _write_warmup(names: Sequence[str], folder: pathlib.Path, model_name: str) -> None:
    """Writes one request for each signature."""
    from tensorflow_serving.apis import prediction_log_pb2

    ramp = np.linspace(0, 255, _WARMUP_SIZE).round().astype(np.float32)
    image = np.broadcast_to(ramp[:, None, None], [_WARMUP_SIZE, _WARMUP_SIZE, 1])
    encoded = tf.io.encode_png(tf.cast(image, tf.uint8)).numpy()
    requests: dict[str, dict[str, Any]] = {
        signatures.ARRAYS: dict.fromkeys(names, image[None]),
        signatures.ENCODED: {f"{name}_bytes": [encoded] for name in names},
    }
    path = folder / _WARMUP_FILE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests.items():
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = model_name
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            writer.write(log.SerializeToString(deterministic=True))
