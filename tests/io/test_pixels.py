"""Tests of densefuse_tf.io.pixels: checks, ranges, grey and colour."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from image_bytes import ramp
from image_bytes import smooth
from PIL import Image

from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 3), (9, 7), (9, 7, 3)])
def test_check_accepts_images(dtype, shape):
    pixels.check(np.ones(shape, dtype), "it")


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ([[1, 2], [3, 4]], "is a list"),
        (None, "is a NoneType"),
        (np.ones(9, np.uint8), "shape [9]"),
        (np.ones((4, 4, 1), np.uint8), "shape [4, 4, 1]"),
        (np.ones((4, 4, 4), np.uint8), "shape [4, 4, 4]"),
        (np.ones((1, 4, 4, 3), np.uint8), "shape [1, 4, 4, 3]"),
        (np.ones((4, 4), bool), "type bool"),
        (np.ones((4, 4), np.int64), "type int64"),
        (np.ones((4, 4), complex), "type complex128"),
        (np.ones((1, 4), np.uint8), "is 1x4 pixels"),
        (np.ones((4, 0), np.float32), "is 4x0 pixels"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.array([[1, 2], [np.inf, 4]]), "infinite"),
        (np.array([[1, 2], [-1e39, 4]]), "beyond float32"),
    ],
)
def test_check_refuses_other_values(image, found):
    with pytest.raises(UserError) as caught:
        pixels.check(image, "the second source")
    line = str(caught.value)
    assert line.startswith("the second source: ") and found in line
    assert "expected" in line


def test_uint8_keeps_its_values():
    image = ramp(5, 6)
    scaled, value_range = pixels.to_pixel_range(image)
    np.testing.assert_array_equal(scaled, image)
    assert scaled.dtype == np.float32 and value_range == (0.0, 255.0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_auto_stretches_own_range(dtype):
    image = np.array([[10, 20], [30, 60]], dtype)
    scaled, value_range = pixels.to_pixel_range(image, "auto")
    assert value_range == (10.0, 60.0)
    np.testing.assert_allclose(scaled, [[0, 51], [102, 255]], rtol=1e-6)
    if dtype != np.uint8:
        np.testing.assert_array_equal(pixels.to_pixel_range(image)[0], scaled)


def test_given_range_clips():
    image = np.array([[0, 1000], [2000, 65535]], np.uint16)
    scaled, value_range = pixels.to_pixel_range(image, (1000, 3000))
    assert scaled.tolist() == [[0, 0], [127.5, 255]] and value_range == (1000, 3000)


def test_hundredths_of_a_kelvin_are_told_apart():
    image = np.array([[300.0, 300.01], [300.02, 300.04]])
    scaled, _ = pixels.to_pixel_range(image, (300.0, 300.04))
    np.testing.assert_allclose(scaled, [[0, 63.75], [127.5, 255]], atol=1e-4)


def test_only_where_next_to_all_lies_outside_of_a_range_it_is_said():
    image = np.arange(1000, dtype=np.uint16).reshape(20, 50)
    assert "become 0 with" in pixels.outside(image, (998, 2000))
    assert "become 255 with" in pixels.outside(image, (-5, 1))
    assert pixels.outside(image, (980, 2000)) == pixels.outside(image, (-5, 20)) == ""


def test_constant_image_becomes_0():
    scaled, value_range = pixels.to_pixel_range(np.full((3, 3), 7, np.uint16))
    assert not scaled.any() and value_range == (7.0, 7.0)


@pytest.mark.parametrize(
    "value_range",
    [
        *((5, 5), (9, 1), (0, np.nan), (0, np.inf), (1,), (1, 2, 3), "min", 3),
        *(pixels.Percentiles(-1, 50), pixels.Percentiles(50, 50)),
        *(pixels.Percentiles(2, 101), pixels.Percentiles(0, np.nan)),
    ],
)
def test_wrong_range_is_refused(value_range):
    with pytest.raises(UserError, match="expected auto, or two numbers"):
        pixels.to_pixel_range(ramp(3, 3, dtype=np.uint16), value_range)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_percentiles_ignore_dead_and_hot_pixels(dtype):
    image = np.arange(100, 200, dtype=dtype).reshape(10, 10)
    image[0, 0], image[9, 9] = 0, 250
    scaled, value_range = pixels.to_pixel_range(image, pixels.Percentiles(2, 98))
    assert value_range == (102.0, 197.0)
    expected = np.clip((image.astype(float) - 102) * 255 / 95, 0, 255)
    np.testing.assert_allclose(scaled, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", "auto"),
        ("7000,9000", (7000.0, 9000.0)),
        (" -1.5, 2e3", (-1.5, 2000.0)),
        ("1%,99%", pixels.Percentiles(1, 99)),
        ("0.5 % , 100%", pixels.Percentiles(0.5, 100)),
    ],
)
def test_parse_range_reads_numbers_and_percentiles(text, expected):
    assert pixels.parse_range(text) == expected


@pytest.mark.parametrize("text", ["", "min", "1", "1,2,3", "9,1", "1%,99", "1%,101%"])
def test_parse_range_refuses_anything_else(text):
    with pytest.raises(UserError, match="expected auto, or two numbers") as caught:
        pixels.parse_range(text)
    assert repr(text) in str(caught.value)


def test_to_uint8_rounds_halves_to_even_and_saturates():
    values = np.array([[-7, -0.51, 0.5, 1.5], [2.5, 254.49, 254.51, 300]], np.float32)
    assert pixels.to_uint8(values).tolist() == [[0, 0, 0, 2], [2, 254, 255, 255]]
    same = ramp(4, 5)
    assert pixels.to_uint8(same) is same


def test_false_colours_lie_apart_by_more_than_a_share_of_the_largest():
    grey = np.full((8, 8, 3), 200.0, np.float32)
    for apart, is_found in ((5, False), (7, True)):
        image = grey.copy()
        image[..., 2] -= apart
        assert pixels.is_in_false_colors(image) == is_found


def test_extremes_are_outliers_where_few_pixels_make_the_range():
    image = np.random.default_rng(0).integers(7000, 7400, (60, 80)).astype(np.uint16)
    assert not pixels.judge(image).has_outliers
    # Three side by side are no single pixel.
    image[3, 4:7] = 65000, 65100, 64900
    assert pixels.judge(image).has_outliers
    assert not pixels.judge(np.full((4, 4), 7, np.uint16)).has_outliers


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_images_in_0_to_1_are_refused(dtype):
    image = np.linspace(0, 1, 12).astype(dtype).reshape(3, 4)
    with pytest.raises(UserError, match="^ir: 0..1 found, 0..255 expected: multiply b"):
        pixels.require_bytes_scale(image, "ir")
    for accepted in (image * 2, image - 0.5, image * 0, (image > 1).astype(np.uint8)):
        pixels.require_bytes_scale(accepted, "ir")


def test_gray_equals_pillows_luma():
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    image = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(52, -1, 3)
    expected = np.asarray(Image.fromarray(image).convert("L"))
    np.testing.assert_array_equal(pixels.gray(image), expected)
    assert pixels.gray(image).dtype == np.uint8
    np.testing.assert_allclose(
        pixels.gray(image.astype(np.float32)), expected, atol=0.51
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_bands_do_not_change_values(monkeypatch, dtype):
    color = ramp(23, 7, 3, dtype=dtype)
    convert = [
        pixels.gray,
        lambda image: pixels.to_pixel_range(image, "auto")[0],
        lambda image: pixels.to_pixel_range(image, (0.1, 0.7))[0],
    ]
    whole = [work(color) for work in convert]
    monkeypatch.setattr(pixels, "_BAND_PIXELS", 30)
    assert len(list(pixels.row_bands(color))) == 6
    for work, expected in zip(convert, whole, strict=True):
        found = work(color)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_gray_keeps_grey():
    for values in (np.arange(256, dtype=np.uint8), np.arange(65536).astype(np.uint16)):
        image = np.repeat(values.reshape(16, -1, 1), 3, axis=2)
        np.testing.assert_array_equal(pixels.gray(image), image[..., 0])
        assert pixels.gray(image).dtype == image.dtype
    image = ramp(6, 7)
    assert pixels.gray(image) is image
    assert pixels.gray(ramp(6, 7, 3, dtype=np.float64)).dtype == np.float32


def test_is_color_compares_channels():
    image = ramp(6, 7)
    assert not pixels.is_color(image)
    image = np.dstack([image] * 3)
    assert not pixels.is_color(image)
    image[5, 6, 1] ^= 1
    assert pixels.is_color(image)


def test_ycbcr_has_jfif_values():
    rgb = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.float32)
    rgb = np.concatenate([rgb, [[[0, 255, 0], [0, 0, 255], [100, 100, 100]]]])
    expected = [
        [[0, 128, 128], [255, 128, 128], [76.245, 84.972, 255.5]],
        [[149.685, 43.528, 21.235], [29.07, 255.5, 107.265], [100, 128, 128]],
    ]
    ycbcr = pixels.to_ycbcr(rgb)
    assert ycbcr.dtype == np.float32
    np.testing.assert_allclose(ycbcr, expected, atol=1e-3)
    photo = smooth()
    pillow = np.asarray(Image.fromarray(photo).convert("YCbCr"))
    np.testing.assert_allclose(pixels.to_ycbcr(photo), pillow, atol=1)


@hypothesis.settings(deadline=None, derandomize=True, max_examples=30)
@hypothesis.given(
    st.lists(st.floats(-64, 512, width=32), min_size=12, max_size=12),
)
def test_from_ycbcr_undoes_to_ycbcr(values):
    rgb = np.array(values, np.float32).reshape(2, 2, 3)
    back = pixels.from_ycbcr(pixels.to_ycbcr(rgb))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, rgb, atol=2e-3)
    luma = pixels.to_ycbcr(rgb)[..., 0]
    np.testing.assert_allclose(luma, pixels.gray(rgb), atol=1e-3)
