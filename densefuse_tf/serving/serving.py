"""Export: the fusion graph as a SavedModel for TensorFlow Serving, as LiteRT or ONNX.

A SavedModel needs TensorFlow and nothing of this package to run. Its two signatures do
what `fusion.Fuser` does with color="auto", operation for operation, so that a service
and fuse.py give the same pixels: `serving_default` takes arrays, `fuse_encoded` PNG and
JPEG files. LiteRT and ONNX files hold the graph of `serving_default` alone.
"""

import functools
import os
import pathlib
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from densefuse_tf.errors import UserError
from densefuse_tf.fusion import fusion
from densefuse_tf.io import files
from densefuse_tf.model import network
from densefuse_tf.serving import conversion

FORMATS = ("saved_model", *conversion.SUFFIXES)
ARRAYS = "serving_default"
ENCODED = "fuse_encoded"
# The largest image that `fuse_encoded` decodes, width times height. A request of a few
# kilobytes can unpack into any size, and fusing takes some 1,700 bytes a pixel.
MAX_PIXELS = 2048 * 2048
# Where TensorFlow Serving looks for requests to run before it reports ready.
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
_WARMUP_SIZE = 256

_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START = b"\xff\xd8\xff"
# What a file may have beside the pixels, of which none takes more than 8 bytes even
# where nothing could be compressed. A megabyte can unpack into a gigabyte, for which
# the decoder has no use but which it unpacks.
_MAX_EXTRA_BYTES = 1 << 20
# Every encoder writes fewer scans; thousands of them over a large image take minutes.
_MAX_JPEG_SCANS = 100
# The start of EXIF data (TIFF 6.0 in either byte order) with a tag 274, orientation, of
# other than 1. \C is any byte; no literal byte of the pattern is above 127.
_TURNED = (
    r"\C*(Exif\x00\x00|eXIf)"
    r"(II\*\x00\C*\x12\x01\x03\x00\x01\x00\x00\x00[\x02-\x08]\x00"
    r"|MM\x00\*\C*\x01\x12\x00\x03\x00\x00\x00\x01\x00[\x02-\x08])\C*"
)
_EXIF_BYTES = 1 << 17

# k images [H, W, 1] -> decoder output [H, W, 1].
_Fuse = Callable[[Sequence[tf.Tensor]], tf.Tensor]
# Decoder output [batch, H, W, channels] -> uint8.
_Rescale = Callable[[tf.Tensor], tf.Tensor]


def export(
    checkpoint: str | os.PathLike,
    output: str | os.PathLike,
    *,
    format: str = "saved_model",
    strategy: str = "addition",
    window_radius: int = 1,
    num_sources: int = 2,
    output_range: str = "minmax",
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Writes the fusion graph of a checkpoint, whole or not at all.

    Args:
      checkpoint: As `checkpoints.load_autoencoder` takes it.
      output: A new folder for a SavedModel; TensorFlow Serving wants its name to be
        the version, a number. A new file *.tflite or *.onnx for the other formats.
      format: One of `FORMATS`.
      strategy: A registered strategy.
      window_radius: r of the block average (Eq. 6).
      num_sources: k, at least 2.
      output_range: One of `fusion.OUTPUT_RANGES`: how the decoder's output becomes 8
        bits, each image of a batch by itself.
      max_pixels: The largest image that `fuse_encoded` decodes.

    Raises:
      UserError: One of the arguments cannot be used, `output` exists or cannot be
        written, a package that the format needs is missing, or a LiteRT or ONNX file
        does not compute what the checkpoint does.
    """
    if format not in FORMATS:
        raise UserError(f"format is {format!r}: expected one of {', '.join(FORMATS)}")
    if output_range not in fusion.OUTPUT_RANGES:
        raise UserError(
            f"output_range is {output_range!r}: expected one of "
            f"{', '.join(fusion.OUTPUT_RANGES)}"
        )
    if max_pixels < 1:
        raise UserError(f"max_pixels is {max_pixels}: expected 1 or more")
    output = pathlib.Path(output)
    suffix = conversion.SUFFIXES.get(format, "")
    if suffix and output.suffix != suffix:
        raise UserError(f"{output}: expected a name that ends in {suffix}")
    if not suffix and output.suffix in conversion.SUFFIXES.values():
        raise UserError(
            f"{output}: is named as a file, and a SavedModel is a folder: expected "
            f"another name, or the format {' or '.join(conversion.SUFFIXES)}"
        )
    files.check_free(output)
    if suffix:
        conversion.check_installed(format)
    # The converters know no in-place update, so they get the layers that pad.
    load = fusion.load_fusion_model if suffix else fusion.load_inference_model
    model = load(
        checkpoint,
        strategy=strategy,
        num_sources=num_sources,
        window_radius=window_radius,
    )
    divisor = fusion.average_divisor(strategy, num_sources)
    rescale = functools.partial(
        to_uint8, output_range=output_range, divisor=float(divisor)
    )
    try:
        if suffix:
            with files.replacing(output) as temporary:
                conversion.write(model, rescale, format, temporary)
        else:
            name = output.absolute().parent.name
            with files.creating_folder(output) as temporary:
                _write_saved_model(model, rescale, max_pixels, temporary, name)
    except (tf.errors.OpError, OSError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise UserError(f"{output}: cannot be written: {reason}") from error


def to_uint8(raw: tf.Tensor, output_range: str, divisor: float) -> tf.Tensor:
    """`fusion.to_uint8` as part of a graph, for each image of a batch by itself.

    The same float32 operations in the same order, so that the pixels are the same.

    Args:
      raw: Decoder output, [batch, H, W, channels] float32.
      output_range: One of `fusion.OUTPUT_RANGES`.
      divisor: Of "average".

    Returns:
      uint8, same shape.
    """
    if output_range == "average":
        pixels = tf.clip_by_value(tf.round(raw / divisor), 0.0, 255.0)
        return tf.cast(pixels, tf.uint8)
    low = tf.reduce_min(raw, axis=[1, 2, 3], keepdims=True)
    span = tf.reduce_max(raw, axis=[1, 2, 3], keepdims=True) - low
    # A constant image becomes 0 with any scale.
    scale = 255.0 / tf.where(span > 0.0, span, 1.0)
    return tf.cast((raw - low) * scale + 0.5, tf.uint8)


def signatures(
    model: keras.Model, rescale: _Rescale, max_pixels: int = MAX_PIXELS
) -> dict[str, tf.types.experimental.GenericFunction]:
    """The signatures of the SavedModel by name.

    - serving_default: ir, vis (or source_1 ... source_k), float32 [N, H, W, 1] in
      0..255 -> fused, uint8, and raw, float32, both [N, H, W, 1].
    - fuse_encoded: ir_bytes, vis_bytes (or source_1_bytes ...), [N] PNG or JPEG files
      -> fused_bytes, [N] PNG files. The pairs of a batch may have different sizes.

    A request that cannot be fused ends in INVALID_ARGUMENT with a line that says why.

    Args:
      model: From `fusion.load_inference_model`.
      rescale: Decoder output [batch, H, W, channels] -> uint8; see `to_uint8`.
      max_pixels: The largest image that `fuse_encoded` decodes.
    """
    names = [source.name for source in model.inputs]

    def fuse(sources):
        raw = model([source[None] for source in sources], training=False)[0]
        return tf.debugging.check_numerics(raw, "the decoder's output is not finite")

    arrays = [tf.TensorSpec([None, None, None, 1], tf.float32, name) for name in names]

    @tf.function(input_signature=arrays, autograph=False)
    def serving_default(*sources):
        with tf.control_dependencies(_check_arrays(sources, names)):
            sources = [tf.identity(source) for source in sources]
        raw = _fuse_each(fuse, sources)
        return {"fused": rescale(raw), "raw": raw}

    strings = [tf.TensorSpec([None], tf.string, f"{name}_bytes") for name in names]

    @tf.function(input_signature=strings, autograph=False)
    def fuse_encoded(*batches):
        def fuse_files(pair):
            index, *data = pair
            labels = [
                tf.strings.join([spec.name, "[", tf.strings.as_string(index), "]"])
                for spec in strings
            ]
            raw = _fuse_channels(fuse, _decode_all(data, labels, max_pixels))
            return tf.io.encode_png(rescale(raw[None])[0])

        counts = _check_counts(batches, [spec.name for spec in strings])
        with tf.control_dependencies(counts):
            indices = tf.range(tf.size(batches[0]))
        pairs = (indices, *batches)
        fused = tf.map_fn(
            fuse_files,
            pairs,
            parallel_iterations=1,
            fn_output_signature=tf.TensorSpec([], tf.string),
        )
        return {"fused_bytes": fused}

    return {ARRAYS: serving_default, ENCODED: fuse_encoded}


def _fuse_each(fuse: _Fuse, sources: Sequence[tf.Tensor]) -> tf.Tensor:
    """Fuses k batches [N, H, W, 1], one image after the other.

    Not as one batch: so the result does not depend on what else is in a batch, and
    equals fuse.py's to the last bit.
    """
    one = tf.TensorSpec([None, None, 1], tf.float32)
    return tf.map_fn(
        fuse, tuple(sources), parallel_iterations=1, fn_output_signature=one
    )


def _fuse_channels(fuse: _Fuse, sources: Sequence[tf.Tensor]) -> tf.Tensor:
    """k images [H, W, 3] -> decoder output [H, W, 1 or 3], as color="auto" does it."""
    has_color = [
        tf.reduce_any(tf.not_equal(source, source[:, :, :1])) for source in sources
    ]
    channels = tf.where(tf.reduce_any(has_color), 3, 1)
    batches = [
        tf.transpose(source[:, :, :channels], [2, 0, 1])[..., None]
        for source in sources
    ]
    return tf.transpose(_fuse_each(fuse, batches)[..., 0], [1, 2, 0])


def _require(condition: tf.Tensor, *message) -> tf.Operation:
    """An operation that fails with the message, of strings and integer tensors."""
    parts = [
        part
        if isinstance(part, str) or part.dtype == tf.string
        # Of a scalar and of [height, width].
        else tf.strings.reduce_join(tf.strings.as_string(part), separator="x")
        for part in message
    ]
    return tf.debugging.Assert(condition, [tf.strings.join(parts)])


def _check_counts(
    batches: Sequence[tf.Tensor], names: Sequence[str]
) -> list[tf.Operation]:
    counts = [tf.shape(batch)[0] for batch in batches]
    return [
        _require(
            (count > 0) & tf.equal(count, counts[0]),
            *(names[0], " holds ", counts[0], " images and ", name, " ", count),
            ": expected as many, one or more",
        )
        for count, name in zip(counts, names, strict=True)
    ]


def _check_sizes(sizes: Sequence[tf.Tensor], labels: Sequence) -> list[tf.Operation]:
    """Operations that refuse [height, width] too small or not all the same."""
    checks = []
    for size, label in zip(sizes, labels, strict=True):
        large_enough = tf.reduce_min(size) >= network.MIN_SIZE
        same = tf.reduce_all(tf.equal(size, sizes[0]))
        least = "x".join([str(network.MIN_SIZE)] * 2)
        checks += [
            _require(large_enough, label, " is ", size, ": expected at least ", least),
            _require(
                same,
                *(labels[0], " is ", sizes[0], " and ", label, " is ", size),
                ": the source images of a pair must have the same size; register and "
                "crop them first",
            ),
        ]
    return checks


def _check_arrays(
    sources: Sequence[tf.Tensor], names: Sequence[str]
) -> list[tf.Operation]:
    """Operations that check batches as `fusion.Fuser` checks its sources."""
    low, high = -fusion.TOLERANCE, 255 + fusion.TOLERANCE
    ranges = [
        _require(
            # False where the value is NaN, too.
            tf.reduce_all((source >= low) & (source <= high)),
            name,
            " has values that are not in 0..255",
        )
        for source, name in zip(sources, names, strict=True)
    ]
    sizes = [tf.shape(source)[1:3] for source in sources]
    return _check_counts(sources, names) + _check_sizes(sizes, names) + ranges


def _decode_all(
    files: Sequence[tf.Tensor], labels: Sequence[tf.Tensor], max_pixels: int
) -> list[tf.Tensor]:
    """The images in k PNG or JPEG files, as `images.read` and `Fuser` see them.

    All headers are checked before the first pixel is decoded.

    Args:
      files: k scalar strings.
      labels: What to call them in an error.
      max_pixels: The largest height times width.

    Returns:
      k tensors [H, W, 3] float32 in 0..255.
    """
    # Of any length, so that the fields of a header can be cut out of it.
    heads = [
        tf.strings.join([tf.strings.substr(data, 0, 32), b"\0" * 32]) for data in files
    ]
    is_png = [
        tf.equal(tf.strings.substr(head, 0, len(_PNG_START)), _PNG_START)
        for head in heads
    ]
    is_jpeg = [
        tf.equal(tf.strings.substr(head, 0, len(_JPEG_START)), _JPEG_START)
        for head in heads
    ]
    sources = list(zip(files, labels, heads, is_png, is_jpeg, strict=True))
    kinds = [
        _require(png | jpeg, label, " is neither a PNG nor a JPEG file")
        for _, label, _, png, jpeg in sources
    ]
    with tf.control_dependencies(kinds):
        sizes = [
            tf.cond(
                png,
                functools.partial(_png_size, head),
                functools.partial(_jpeg_size, data),
            )
            for data, _, head, png, _ in sources
        ]
    checks = _check_sizes(sizes, labels)
    for (data, label, _, _, jpeg), size in zip(sources, sizes, strict=True):
        checks += [
            _require(
                # The product itself could be more than 64 bits hold.
                size[0] <= max_pixels // tf.maximum(size[1], 1),
                *(label, " is ", size, ": expected at most "),
                f"{max_pixels} pixels",
            ),
            _require(
                tf.cast(tf.strings.length(data) - _MAX_EXTRA_BYTES, tf.float64)
                # Exact enough, and without an end.
                <= 8 * tf.reduce_prod(tf.cast(size, tf.float64)),
                *(label, " has ", tf.strings.length(data), " bytes for ", size),
                " pixels: expected at most 8 a pixel, and a megabyte besides",
            ),
            _require(
                tf.cond(jpeg, functools.partial(_has_few_scans, data), _true),
                label,
                f" is a JPEG of more scans than the {_MAX_JPEG_SCANS} expected at most",
            ),
            _require(
                ~tf.strings.regex_full_match(
                    tf.strings.substr(data, 0, _EXIF_BYTES), _TURNED
                ),
                label,
                " has an orientation tag: expected an image that stands upright as it "
                "is stored, without the tag",
            ),
        ]
    with tf.control_dependencies(checks):
        return [
            tf.cond(
                png,
                functools.partial(_decode_png, data, head),
                functools.partial(_decode_jpeg, data),
            )
            for data, _, head, png, _ in sources
        ]


def _true() -> tf.Tensor:
    return tf.constant(True)


def _png_size(head: tf.Tensor) -> tf.Tensor:
    """[height, width] int64 of a PNG file's first bytes."""
    size = tf.io.decode_raw(
        tf.strings.substr(head, 16, 8), tf.int32, little_endian=False
    )
    return tf.cast(tf.bitcast(size, tf.uint32), tf.int64)[::-1]


def _jpeg_size(data: tf.Tensor) -> tf.Tensor:
    return tf.io.extract_jpeg_shape(data, tf.int64)[:2]


def _has_few_scans(data: tf.Tensor) -> tf.Tensor:
    """Whether a JPEG file is not one made to keep the decoder busy."""
    stream = tf.io.decode_raw(data, tf.uint8)
    scans = tf.equal(stream[:-1], 0xFF) & tf.equal(stream[1:], 0xDA)
    return tf.math.count_nonzero(scans) <= _MAX_JPEG_SCANS


def _decode_jpeg(data: tf.Tensor) -> tf.Tensor:
    # The transform that Pillow uses; TensorFlow's default is up to 5 levels off.
    pixels = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.cast(pixels, tf.float32)


def _decode_png(data: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    bits = tf.io.decode_raw(tf.strings.substr(head, 24, 1), tf.uint8)[0]

    def of_8_bits():
        pixels = tf.cast(tf.io.decode_png(data, channels=4), tf.int32)
        # With fewer than 8 bits and no alpha, TensorFlow makes this the alpha.
        filler = tf.bitwise.left_shift(1, tf.cast(bits, tf.int32)) - 1
        is_filled = tf.reduce_all(tf.equal(pixels[:, :, 3], filler))
        pixels = tf.cond(
            is_filled,
            lambda: pixels[:, :, :3],
            lambda: _over_black(pixels, 255),
        )
        return tf.cast(pixels, tf.float32)

    def of_16_bits():
        pixels = tf.io.decode_png(data, channels=4, dtype=tf.uint16)
        pixels = _over_black(tf.cast(pixels, tf.int64), 65535)
        # As pixels.to_pixel_range: in double precision, 0 for an image of one value.
        pixels = tf.cast(pixels, tf.float64)
        low = tf.reduce_min(pixels)
        span = tf.reduce_max(pixels) - low
        scale = 255.0 / tf.where(span > 0.0, span, 1.0)
        pixels = tf.clip_by_value((pixels - low) * scale, 0.0, 255.0)
        return tf.cast(pixels, tf.float32)

    return tf.cond(tf.equal(bits, 16), of_16_bits, of_8_bits)


def _over_black(pixels: tf.Tensor, opaque: int) -> tf.Tensor:
    """RGBA blended with black, as `images.read` does; alpha 0 everywhere is ignored.

    Args:
      pixels: [H, W, 4], of an integer type that holds opaque squared.
      opaque: The largest alpha.

    Returns:
      [H, W, 3], same type.
    """
    color, alpha = pixels[:, :, :3], pixels[:, :, 3:]
    alpha = tf.where(tf.reduce_any(alpha > 0), alpha, opaque)
    return (color * alpha + opaque // 2) // opaque


def _write_saved_model(
    model: keras.Model,
    rescale: _Rescale,
    max_pixels: int,
    folder: pathlib.Path,
    model_name: str,
) -> None:
    functions = signatures(model, rescale, max_pixels)
    module = tf.Module()
    # Plain variables: a Keras layer would take its class along.
    module.weights = [weight.value for weight in model.weights]
    tf.saved_model.save(module, str(folder), signatures=functions)
    _write_warmup([source.name for source in model.inputs], folder, model_name)


def _write_warmup(names: Sequence[str], folder: pathlib.Path, model_name: str) -> None:
    """Writes one request for each signature, which TensorFlow Serving runs at start."""
    from tensorflow_serving.apis import prediction_log_pb2

    ramp = np.linspace(0, 255, _WARMUP_SIZE).round().astype(np.float32)
    image = np.broadcast_to(ramp[:, None, None], [_WARMUP_SIZE, _WARMUP_SIZE, 1])
    encoded = tf.io.encode_png(tf.cast(image, tf.uint8)).numpy()
    requests = {
        ARRAYS: dict.fromkeys(names, image[None]),
        ENCODED: {f"{name}_bytes": [encoded] for name in names},
    }
    path = folder / WARMUP_FILE
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
