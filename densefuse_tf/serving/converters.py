"""Converts the fusion graph to a LiteRT or ONNX file and checks what it computes.

The converters and the runtimes are extras, imported when they are needed.
"""

import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from densefuse_tf.errors import UserError
from densefuse_tf.io import files

SUFFIXES = {"litert": ".tflite", "onnx": ".onnx"}
# The largest difference between the decoder's output of such a file and the Keras
# model's, in 0..255, and the [batch, height, width] at which it is measured.
_MAX_DIFFERENCE = 0.5
_CHECKED_SHAPES = ((1, 2, 2), (1, 37, 50), (2, 64, 48))
# The name that Keras gives the graph of a LiteRT file.
_SIGNATURE = "serving_default"

# Decoder output [batch, H, W, channels] -> uint8.
_Rescale = Callable[[tf.Tensor], tf.Tensor]
# Batches by name -> outputs by name.
_Run = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


def write(
    model: keras.Model, rescale: _Rescale, format: str, path: pathlib.Path
) -> None:
    """Writes a LiteRT or ONNX file and checks what it computes.

    Args:
      model: From `graph.load_fusion_model`: the converters know no in-place update,
        which the graph of a SavedModel has.
      rescale: Decoder output [batch, H, W, 1] -> uint8.
      format: One of `SUFFIXES`.
      path: The file.

    Raises:
      UserError: The graph cannot be converted, or the file does not compute what the
        model does.
      OSError: The file cannot be written; or tf.errors.OpError.
    """
    complete = _complete(model, rescale)
    convert, load = {
        "litert": (_write_litert, _load_litert),
        "onnx": (_write_onnx, _load_onnx),
    }[format]
    try:
        convert(complete, path)
        run = load(path)
        difference = max(_difference(model, run, shape) for shape in _CHECKED_SHAPES)
    except (OSError, tf.errors.OpError):
        raise
    except Exception as error:  # Converters and runtimes raise whatever they like.
        if files.is_full(path.parent):
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"the graph cannot be converted to {format}: {reason}"
        ) from error
    if not difference <= _MAX_DIFFERENCE:
        raise UserError(
            f"the {format} file's output is {difference:g} off: expected at most "
            f"{_MAX_DIFFERENCE} of 255"
        )


def _complete(model: keras.Model, rescale: _Rescale) -> keras.Model:
    """Returns the model with the outputs fused, uint8, and raw, float32."""
    (raw,) = model.outputs
    shape = raw.shape[1:]
    # This changes nothing, but without it tf2onnx 1.17 at times leaves an output with a
    # fifth dimension, depending on the order of its sets.
    same_shape = keras.layers.Lambda(
        lambda pair: tf.reshape(pair[0], tf.shape(pair[1])),
        output_shape=shape,
        dtype="float32",
    )
    raw = same_shape([raw, model.inputs[0]])
    pixels = keras.layers.Lambda(rescale, output_shape=shape, dtype="float32")(raw)
    return keras.Model(model.inputs, {"fused": pixels, "raw": raw})


def _difference(model: keras.Model, run: _Run, shape: Sequence[int]) -> float:
    """Returns the largest difference of the decoder's outputs on noise."""
    noise = np.random.default_rng(sum(shape))
    sources = {
        source.name: noise.integers(0, 256, [*shape, 1]).astype(np.float32)
        for source in model.inputs
    }
    expected = model(list(sources.values()), training=False).numpy()
    outputs = run(sources)
    if any(output.shape != expected.shape for output in outputs.values()):
        return np.inf
    return float(np.abs(outputs["raw"] - expected).max())


def _write_litert(model: keras.Model, path: pathlib.Path) -> None:
    # These are the steps of format="litert" of Keras 3.13; Keras 3.12, the newest for
    # Python 3.10, has no such format.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=files.PREFIX) as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        path.write_bytes(converter.convert())


def _load_litert(path: pathlib.Path) -> _Run:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_path=str(path)).get_signature_runner(_SIGNATURE)
    return lambda sources: run(**sources)


def _write_onnx(model: keras.Model, path: pathlib.Path) -> None:
    signature = [tf.TensorSpec(i.shape, i.dtype, i.name) for i in model.inputs]
    model.export(str(path), "onnx", verbose=False, input_signature=[signature])


def _load_onnx(path: pathlib.Path) -> _Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return lambda sources: dict(zip(names, session.run(names, sources), strict=True))
