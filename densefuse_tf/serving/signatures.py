"""Builds the signatures of the SavedModel, for arrays and for PNG and JPEG files.

They do what `fuser.Fuser` does with color="auto", operation for operation, so that a
service and fuse.py give the same pixels.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from densefuse_tf.fusion import bands
from densefuse_tf.fusion import inference
from densefuse_tf.fusion.channels import TOLERANCE
from densefuse_tf.fusion.channels import source_names
from densefuse_tf.io import formats
from densefuse_tf.model import low_precision
from densefuse_tf.model import network

ARRAYS = "serving_default"
ENCODED = "fuse_encoded"

# k images [H, W, 1] -> decoder output [H, W, 1].
_Fuse = Callable[[Sequence[tf.Tensor]], tf.Tensor]
# Decoder output [batch, H, W, channels] -> uint8.
Rescale = Callable[[tf.Tensor], tf.Tensor]


def signatures(
    fusion: inference.InferenceGraph, rescale: Rescale, max_pixels: int
) -> dict[str, tf.types.experimental.GenericFunction]:
    """Returns the signatures of the SavedModel by name.

    - serving_default: ir, vis (or source_1 ... source_k), float32 [N, H, W, 1] in
      0..255 -> fused, uint8, and raw, float32, both [N, H, W, 1].
    - fuse_encoded: ir_bytes, vis_bytes (or source_1_bytes ...), [N] PNG or JPEG files
      -> fused_bytes, [N] PNG files. The pairs of a batch may have different sizes.

    A request that cannot be fused ends in INVALID_ARGUMENT with a line that says why.

    Args:
      fusion: The fusion.
      rescale: Decoder output [batch, H, W, channels] -> uint8; see
        `output_range.to_pixels_in_graph`.
      max_pixels: The largest image that `fuse_encoded` decodes.
    """
    names = source_names(fusion.num_sources)

    def fuse(sources):
        level = tf.constant(0.0)
        if fusion.takes_level:
            level = low_precision.level_in_graph(sources)
        batches = [source[None] for source in sources]
        (raw,) = fusion.for_part(bands.WHOLE)(level, *batches)
        return tf.debugging.check_numerics(raw[0], "the decoder's output is not finite")

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

    A result then does not depend on what else is in the batch, and equals fuse.py's to
    the last bit.
    """
    one = tf.TensorSpec([None, None, 1], tf.float32)
    return tf.map_fn(
        fuse, tuple(sources), parallel_iterations=1, fn_output_signature=one
    )


def _fuse_channels(fuse: _Fuse, sources: Sequence[tf.Tensor]) -> tf.Tensor:
    """Fuses k images [H, W, 3] into [H, W, 1 or 3], as color="auto" does it."""
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
    """Returns an operation that fails with the message, strings and integer tensors."""
    parts = [
        part
        if isinstance(part, str) or part.dtype == tf.string
        # A scalar, or [height, width].
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
    """Returns operations that refuse sizes [height, width] too small or different."""
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
    """Returns operations that check batches as `fuser.Fuser` checks its sources."""
    low, high = -TOLERANCE, 255 + TOLERANCE
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
    """Decodes k PNG or JPEG files as `images.read` and `Fuser` see them.

    The type and the size of each are checked before the first pixel is decoded. The
    result is k tensors [H, W, 3] float32 in 0..255.
    """
    sizes = [_size(data, label) for data, label in zip(files, labels, strict=True)]
    small_enough = [
        _require(
            # The product itself could be more than 64 bits hold.
            size[0] <= max_pixels // tf.maximum(size[1], 1),
            *(label, " is ", size, f": expected at most {max_pixels} pixels"),
        )
        for size, label in zip(sizes, labels, strict=True)
    ]
    with tf.control_dependencies([*_check_sizes(sizes, labels), *small_enough]):
        return [_decode(data) for data in files]


def _size(data: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
    """Returns [height, width] int64 out of a file's header; refuses other types."""
    is_png = _starts_with(data, formats.PNG_START)
    known = _require(
        is_png | _starts_with(data, formats.JPEG_START),
        *(label, " is neither a PNG nor a JPEG file"),
    )

    def of_png():
        # Zeros behind a short file stand for the fields that it lacks.
        head = tf.strings.join([tf.strings.substr(data, 0, 24), b"\0" * 24])
        size = tf.strings.substr(head, 16, 8)
        size = tf.io.decode_raw(size, tf.int32, little_endian=False)
        return tf.cast(tf.bitcast(size, tf.uint32), tf.int64)[::-1]

    with tf.control_dependencies([known]):
        return tf.cond(
            is_png, of_png, lambda: tf.io.extract_jpeg_shape(data, tf.int64)[:2]
        )


def _starts_with(data: tf.Tensor, start: bytes) -> tf.Tensor:
    return tf.equal(tf.strings.substr(data, 0, len(start)), start)


def _decode(data: tf.Tensor) -> tf.Tensor:
    """Decodes a PNG or JPEG file whose header is there into [H, W, 3] float32."""

    def bits():
        return tf.io.decode_raw(tf.strings.substr(data, 24, 1), tf.uint8)[0]

    def of_jpeg():
        # The transform that Pillow uses; TensorFlow's default is up to 5 levels off.
        pixels = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
        return tf.cast(pixels, tf.float32)

    def of_png():
        return tf.cond(tf.equal(bits(), 16), of_16_bits, of_8_bits)

    def of_8_bits():
        pixels = tf.cast(tf.io.decode_png(data, channels=4), tf.int32)
        # With fewer than 8 bits and no alpha, TensorFlow makes this the alpha.
        filler = tf.bitwise.left_shift(1, tf.cast(bits(), tf.int32)) - 1
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
        # As in `pixels.to_pixel_range`: in double precision, 0 for an image of one
        # value.
        pixels = tf.cast(pixels, tf.float64)
        low = tf.reduce_min(pixels)
        span = tf.reduce_max(pixels) - low
        scale = 255.0 / tf.where(span > 0.0, span, 1.0)
        pixels = tf.clip_by_value((pixels - low) * scale, 0.0, 255.0)
        return tf.cast(pixels, tf.float32)

    return tf.cond(_starts_with(data, formats.PNG_START), of_png, of_jpeg)


def _over_black(pixels: tf.Tensor, opaque: int) -> tf.Tensor:
    """Blends RGBA with black, as `images.read` does; alpha 0 everywhere is ignored.

    [H, W, 4], of an integer type that holds `opaque`, the largest alpha, squared ->
    [H, W, 3], same type.
    """
    color, alpha = pixels[:, :, :3], pixels[:, :, 3:]
    alpha = tf.where(tf.reduce_any(alpha > 0), alpha, opaque)
    return (color * alpha + opaque // 2) // opaque
