"""The exported graphs against `fuser.Fuser`, in this process."""

import io

import imagecodecs
import numpy as np
import pytest
import tensorflow as tf
from image_bytes import encoded
from image_bytes import gray_png
from PIL import Image

from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.inference import InferenceGraph
from densefuse_tf.fusion.output_range import to_pixels_in_graph
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import images
from densefuse_tf.model import low_precision
from densefuse_tf.serving import signatures

SIZE = (9, 12)
MAX_PIXELS = 10_000


def noise(seed, *shape, dtype=np.uint8):
    high = np.iinfo(dtype).max + 1
    return np.random.default_rng(seed).integers(0, high, shape or SIZE, dtype)


GRAY, COLOR = noise(1), noise(2, *SIZE, 3)
PALETTE = Image.fromarray(COLOR).convert("P")
FEW_COLORS = Image.fromarray(noise(3) % 4 * 60).convert("P", colors=4, palette=1)
FILES = {
    "gray": encoded(GRAY, "PNG"),
    "color": encoded(COLOR, "PNG"),
    "gray as RGB": encoded(Image.fromarray(GRAY).convert("RGB"), "PNG"),
    "1 bit": encoded(Image.fromarray(GRAY).convert("1"), "PNG"),
    "palette of 4": encoded(FEW_COLORS, "PNG"),
    "palette of 256": encoded(PALETTE, "PNG"),
    "palette with a transparent entry": encoded(PALETTE, "PNG", transparency=3),
    "gray with alpha": encoded(noise(4, *SIZE, 2), "PNG"),
    "color with alpha": encoded(noise(5, *SIZE, 4), "PNG"),
    "color with alpha 0": encoded(np.dstack([COLOR, 0 * GRAY]), "PNG"),
    "gray with a transparent value": encoded(GRAY, "PNG", transparency=100),
    "4 bits with a transparent value": gray_png(noise(1) % 16, 4, transparency=7),
    "progressive JPEG": encoded(COLOR, "JPEG", progressive=True, quality=40),
    "JPEG": encoded(COLOR, "JPEG", subsampling=2),
    "gray JPEG": encoded(GRAY, "JPEG"),
}
FILES_16 = {
    "gray": noise(6, dtype=np.uint16),
    "color": noise(7, *SIZE, 3, dtype=np.uint16),
    "gray of few values": noise(8, dtype=np.uint16) % 50 + 7000,
    "gray of one value": np.full(SIZE, 7000, np.uint16),
    "color with alpha": noise(9, *SIZE, 4, dtype=np.uint16),
}


def rescaling(output_range, divisor=1.0):
    return lambda raw: to_pixels_in_graph(raw, output_range, divisor)


@pytest.fixture(scope="module")
def served(checkpoint):
    """The signatures of the addition strategy for a pair, not saved."""
    fusion = InferenceGraph(FusionSettings(checkpoint))
    return signatures.signatures(fusion, rescaling("minmax"), MAX_PIXELS)


@pytest.fixture(scope="module")
def fuser(checkpoint):
    return Fuser(FusionSettings(checkpoint))


def fuse_files(served, *batches) -> list[np.ndarray]:
    """The fused images that fuse_encoded makes of lists of files."""
    result = served[signatures.ENCODED](*map(tf.constant, batches))["fused_bytes"]
    return [np.asarray(Image.open(io.BytesIO(data))) for data in result.numpy()]


# Arrays.


@pytest.mark.parametrize("shape", [(1, 2, 2), (3, 9, 12), (2, 33, 20)])
def test_each_image_of_a_batch_equals_fuse_py(served, fuser, shape):
    sources = [noise(seed, *shape) for seed in (1, 2)]
    result = served[signatures.ARRAYS](
        *[tf.constant(source[..., None], tf.float32) for source in sources]
    )
    assert result["fused"].dtype == tf.uint8
    assert result["raw"].dtype == tf.float32
    for index, pair in enumerate(zip(*sources, strict=True)):
        expected = fuser.fuse(pair)
        np.testing.assert_array_equal(result["raw"][index, :, :, 0], expected.raw)
        np.testing.assert_array_equal(result["fused"][index, :, :, 0], expected.image)


@pytest.mark.guard
def test_other_strategies_ranges_and_numbers_of_sources(checkpoint):
    settings = {"strategy": "l1_norm", "num_sources": 3, "window_radius": 2}
    fuser = Fuser(FusionSettings(checkpoint, output_range="average", **settings))
    fusion = InferenceGraph(FusionSettings(checkpoint, **settings))
    served = signatures.signatures(fusion, rescaling("average"), MAX_PIXELS)
    sources = [noise(seed) for seed in range(3)]
    batches = {
        f"source_{index + 1}": tf.constant(source[None, ..., None], tf.float32)
        for index, source in enumerate(sources)
    }
    result = served[signatures.ARRAYS].get_concrete_function()(**batches)["fused"]
    expected = fuser.fuse(sources).image
    np.testing.assert_array_equal(result[0, :, :, 0], expected)
    (image,) = fuse_files(served, *[[encoded(source, "PNG")] for source in sources])
    np.testing.assert_array_equal(image, expected)


@pytest.mark.guard
@pytest.mark.parametrize("strategy", ("addition", "l1_norm"))
def test_bfloat16_equals_fuse_py(checkpoint, monkeypatch, strategy):
    monkeypatch.setattr(low_precision, "obstacle", lambda: None)
    settings = {"strategy": strategy, "precision": "bfloat16"}
    fuser = Fuser(FusionSettings(checkpoint, **settings))
    fusion = InferenceGraph(FusionSettings(checkpoint, **settings))
    served = signatures.signatures(fusion, rescaling("minmax"), MAX_PIXELS)
    sources = [noise(seed) for seed in (1, 2)]
    batches = [tf.constant(source[None, ..., None], tf.float32) for source in sources]
    raw = served[signatures.ARRAYS](*batches)["raw"]
    np.testing.assert_array_equal(raw[0, :, :, 0], fuser.raw(sources))


ZEROS = np.zeros((2, 4, 5, 1), np.float32)


@pytest.mark.parametrize(
    ("ir", "vis", "message"),
    [
        (ZEROS, ZEROS[:, :3], "ir is 4x5 and vis is 3x5: the source images of a pair"),
        (ZEROS, ZEROS[:1], "ir holds 2 images and vis 1: expected as many"),
        (ZEROS[:0], ZEROS[:0], "ir holds 0 images"),
        (ZEROS[:, :1], ZEROS[:, :1], "ir is 1x5: expected at least 2x2"),
        (ZEROS, ZEROS + np.nan, r"vis has values that are not in 0\.\.255"),
        (ZEROS - 1, ZEROS, r"ir has values that are not in 0\.\.255"),
        (ZEROS, ZEROS + 65535, r"vis has values that are not in 0\.\.255"),
    ],
)
def test_arrays_that_cannot_be_fused(served, ir, vis, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        served[signatures.ARRAYS](tf.constant(ir), tf.constant(vis))


def test_an_output_that_is_not_finite_is_an_error(checkpoint):
    fusion = InferenceGraph(FusionSettings(checkpoint))
    # The bias of C5.
    fusion.variables[-1].assign([np.inf])
    served = signatures.signatures(fusion, rescaling("minmax"), MAX_PIXELS)
    with pytest.raises(tf.errors.InvalidArgumentError, match="output is not finite"):
        served[signatures.ARRAYS](tf.constant(ZEROS + 1), tf.constant(ZEROS + 1))


# Files.


@pytest.mark.parametrize("kind", FILES)
def test_files_are_fused_as_fuse_py_does(served, fuser, tmp_path, kind):
    (tmp_path / "file").write_bytes(FILES[kind])
    source = images.read(tmp_path / "file")
    result = fuse_files(served, [FILES[kind]] * 2, [FILES["gray"], FILES["color"]])
    for image, other in zip(result, (GRAY, COLOR), strict=True):
        np.testing.assert_array_equal(image, fuser.fuse([source, other]).image)


@pytest.mark.parametrize("kind", FILES_16)
def test_files_of_16_bits_are_stretched_as_fuse_py_does(served, fuser, tmp_path, kind):
    data = imagecodecs.png_encode(FILES_16[kind])
    (tmp_path / "file").write_bytes(data)
    source = images.read(tmp_path / "file")
    assert source.dtype == np.uint16
    (image,) = fuse_files(served, [data], [FILES["gray"]])
    np.testing.assert_array_equal(image, fuser.fuse([source, GRAY]).image)


def test_pairs_of_a_batch_may_differ_in_size(served, fuser):
    pairs = [(noise(1), noise(2)), (noise(3, 4, 50), noise(4, 4, 50, 3))]
    result = fuse_files(
        served,
        *[[encoded(i, "PNG") for i in batch] for batch in zip(*pairs, strict=True)],
    )
    for image, pair in zip(result, pairs, strict=True):
        np.testing.assert_array_equal(image, fuser.fuse(pair).image)


PNG = FILES["gray"]
HUGE = PNG[:16] + b"\xff" * 8 + PNG[24:]


@pytest.mark.parametrize(
    ("ir", "vis", "message"),
    [
        ([PNG], [b""], r"vis_bytes\[0\] is neither a PNG nor a JPEG file"),
        ([PNG, PNG], [PNG, b"GIF89a"], r"vis_bytes\[1\] is neither a PNG nor a JPEG"),
        ([PNG[:20]], [PNG], r"ir_bytes\[0\] is 0x12: expected at least 2x2"),
        ([PNG[:60]], [PNG], "Invalid PNG"),
        ([b"\xff\xd8\xff"], [PNG], "Invalid JPEG"),
        ([FILES["JPEG"][:-200]], [PNG], "Invalid JPEG"),
        (
            [encoded(noise(1, 9, 1), "PNG")],
            [PNG],
            r"ir_bytes\[0\] is 9x1: expected",
        ),
        ([HUGE], [HUGE], r"\[0\] is 4294967295x4294967295: expected at most 10000 pix"),
        (
            [encoded(noise(1, 100, 101), "JPEG")],
            [encoded(noise(1, 100, 101), "PNG")],
            r"ir_bytes\[0\] is 100x101: expected at most 10000 pixels",
        ),
        (
            [PNG],
            [encoded(noise(1, 12, 9), "PNG")],
            r"ir_bytes\[0\] is 9x12 and vis_bytes\[0\] is 12x9: the source images of",
        ),
        (
            [PNG, PNG],
            [PNG],
            "ir_bytes holds 2 images and vis_bytes 1: expected as many",
        ),
    ],
)
def test_files_that_cannot_be_fused(served, ir, vis, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        fuse_files(served, ir, vis)
