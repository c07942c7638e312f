"""What is a temperature, and what is not."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from densefuse_tf.errors import UserError
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.io import temperatures

SHAPE = (120, 160)


def scene(seed=0, shape=SHAPE, low=7000, contrast=60):
    """A smooth scene of some hundred counts, with noise: [H, W] float64."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 6)
    return low + contrast * smooth / smooth.std() + rng.normal(0, 3, shape)


def counts(values):
    return values.round().clip(0, 65535).astype(np.uint16)


def object_at(row, column, radius, edge, shape=SHAPE):
    """A disk with a soft edge, 0..1."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    distance = np.hypot(y - row, x - column) - radius
    return 1 / (1 + np.exp(np.clip(distance / edge, -50, 50)))


def spoiled():
    """Yields (what, image, where it is no temperature)."""
    rng = np.random.default_rng(1)
    height, width = SHAPE

    def case(what, where, values, image=None):
        image = counts(scene()) if image is None else image.copy()
        foreign = np.zeros(image.shape, bool)
        foreign[where] = True
        image[where] = values
        return what, image, foreign

    for rows in (1, 2, 8):
        noise = rng.integers(0, 65536, (rows, width))
        yield case(f"{rows} rows of telemetry below", np.s_[-rows:], noise)
        yield case(f"{rows} rows of telemetry above", np.s_[:rows], noise)
    words = np.zeros((2, width))
    words[:, :40] = rng.integers(0, 65536, (2, 40))
    yield case("telemetry and zeros", np.s_[:2], words)
    words = np.zeros((4, width))
    words[0] = np.random.default_rng(0).integers(0, 9000, width)
    yield case("a row of telemetry above zeros", np.s_[:4], words)
    yield case("small words", np.s_[-3:], rng.integers(0, 300, (3, width)))
    yield case("telemetry in columns", np.s_[:, -2:], rng.integers(0, 9**5, (120, 2)))
    yield case("a dead row", np.s_[60], 0)
    yield case("a dead column", np.s_[:, 7], 65535)
    yield case("dead columns", np.s_[:, [3, 80, 159]], 0)
    noise = rng.integers(7440, 7640, width)
    yield case("a row that is a little off", np.s_[60], noise)
    yield case("a row of noise", np.s_[33], rng.integers(200, 300, width))
    yield case("half a row", np.s_[50, :80], 0)
    yield case("single pixels", ([3, 30, 119], [4, 99, 159]), [0, 65535, 40000])
    glowing = scene()
    glowing[29:32, 98:101] += 60
    where = ([30], [99])
    yield case("a pixel with a little glow", where, 10000, counts(glowing))
    yield case("a pair of pixels", ([30, 31], [99, 100]), [65535, 60000])
    border = np.pad(np.zeros((height - 8, width - 8), bool), 4, constant_values=True)
    yield case("a black border", border, 0)
    yield case("a white border", border, 65535)
    y, x = np.mgrid[:height, :width]
    yield case("a corner", y + x < 90, 0)
    hole = np.hypot(y - 60, x - 50) < 30
    celsius = ((scene() - 7000) / 20 + 25).astype(np.float32)
    for value in (-9999, -32768, np.finfo(np.float32).min, 1e6):
        yield case(f"holes of {value:g}", hole, value, celsius)
    yield case("a small hole", np.hypot(y - 60, x - 50) < 4, 0)
    yield case("holes of NaN", hole, np.nan, celsius)
    for angle in (3, -7):
        turned = ndimage.rotate(scene(), angle, reshape=False, order=1)
        inside = ndimage.rotate(np.ones(SHAPE), angle, reshape=False, order=1)
        # The edge of the border is mixed of 0 and the scene.
        yield f"turned by {angle}", counts(turned), inside < 0.999
    for shape in ((60, 80), (120, 160)):
        for angle in (7, 15):
            options = {"reshape": False, "order": 1, "mode": "grid-constant"}
            turned = ndimage.rotate(scene(0, shape), angle, **options)
            inside = ndimage.rotate(np.ones(shape), angle, **options)
            yield f"turned at {shape} by {angle}", counts(turned), inside < 0.999
    # Rectified, such a border mixes with the scene.
    mixed = np.full((height, 11), -999.0)
    mixed[:, 10] = -999 * 0.3 + celsius[:, 10] * 0.7
    yield case("a border that mixes", np.s_[:, :11], mixed, celsius)
    image, foreign = counts(scene()), np.zeros(SHAPE, bool)
    image[-3:], image[:, :4], image[50, 50] = rng.integers(0, 65536, (3, 160)), 0, 60000
    foreign[-3:] = foreign[:, :4] = foreign[50, 50] = True
    yield "all together", image, foreign


@pytest.mark.parametrize(
    ("what", "image", "foreign"),
    [pytest.param(*each, id=each[0]) for each in spoiled()],
)
def test_what_is_no_temperature_is_left_out(what, image, foreign):
    judged = temperatures.judge(image)
    low, high = float(image[~foreign].min()), float(image[~foreign].max())
    assert judged.found
    # In a small image much of the scene is near to the border.
    share = 0.1 if "(60, 80)" in what else 0.05
    assert judged.low == pytest.approx(low, abs=share * (high - low))
    assert judged.high == pytest.approx(high, abs=share * (high - low))
    if not what.startswith("turned"):
        np.testing.assert_array_equal(judged.foreign, foreign)
        scaled, found = pixels.to_pixel_range(image)
        expected = (image.astype(np.float64) - low) * 255 / (high - low)
        expected[foreign] = 0
        np.testing.assert_allclose(scaled, expected, atol=1e-3)
        assert found == (low, high) == (judged.low, judged.high)


def hot_and_cold():
    for name, radius, edge, height in (
        ("person", 5.5, 1, 300),
        ("person of 0.5 % beside a wall", 5.5, 0.6, 2000),
        ("flame", 9, 1.5, 9000),
        ("sun", 3, 1, 50000),
        ("flare", 1, 0.6, 20000),
        ("candle", 0.5, 0.5, 20000),
        ("spark", 0.5, 0.5, 1000),
        ("ice", 8, 1, -3000),
    ):
        for row, column in ((60, 80), (3, 150), (119, 40)):
            values = scene() + height * object_at(row, column, radius, edge)
            yield f"{name} {row}", counts(values)
            if height > 5000:
                # As a sensor does that reaches its largest value.
                yield (
                    f"{name} {row} saturated",
                    counts(values).clip(0, 7000 + height // 2),
                )
    for blur in (0.5, 0.7, 0.9):
        for limit in (10300, 16383):
            disk = (object_at(60, 80, 10, 0.01) > 0.5).astype(float)
            sun = ndimage.gaussian_filter(disk, blur)
            values = scene() + sun * (3 * limit - scene())
            yield f"sharp sun {blur} {limit}", counts(values).clip(0, limit)
    for edge in (0.5, 1, 2):
        for row in (0, 2, 60, 119):
            hot = np.abs(np.arange(120) - row)[:, None] <= 1
            pipe = ndimage.gaussian_filter1d(hot.astype(float), edge, axis=0)
            yield f"pipe {row} {edge}", counts(scene() + 5000 * pipe)
    sea = counts(scene(contrast=5))
    sea[-30:] = counts(scene(2, low=8000))[-30:]
    yield "sea", sea


@pytest.mark.parametrize(
    "image", [pytest.param(image, id=name) for name, image in hot_and_cold()]
)
def test_hot_and_cold_objects_stay(image):
    judged = temperatures.judge(image)
    assert judged.foreign is None and judged.found == ""
    assert (judged.low, judged.high) == (image.min(), image.max())
    # Its own values are not clipped.
    scaled, _ = pixels.to_pixel_range(image)
    assert (scaled == 255).sum() == (image == image.max()).sum()


@pytest.mark.parametrize("blur", (0.5, 1, 2))
@pytest.mark.parametrize("place", ((40, 60), (40, 13), (100, 60)))
def test_a_border_does_not_take_a_hot_object_with_it(blur, place):
    row, column = place
    hot = np.zeros(SHAPE)
    hot[row : row + 30, column : column + 30] = 1
    heat = 13000 * ndimage.gaussian_filter(hot, blur)
    image = counts(scene() + heat).clip(0, 16383)
    border = np.ones(SHAPE, bool)
    border[12:-12, 12:-12] = False
    image[border] = 0
    judged = temperatures.judge(image)
    assert judged.low == pytest.approx(image[~border].min(), abs=30)
    assert judged.high == 16383
    assert not judged.foreign[(hot > 0) & ~border].any()
    # Next to nothing of the scene is taken for a mixture with the border.
    assert (judged.foreign & ~border).mean() < 0.005


def clean():
    rng = np.random.default_rng(3)
    yield "scene", counts(scene())
    yield "celsius", ((scene() - 7000) / 20).astype(np.float32)
    yield "noise", rng.integers(0, 65536, SHAPE).astype(np.uint16)
    yield "8 bits in 16", rng.integers(0, 256, SHAPE).astype(np.uint16) * 257
    yield (
        "black and white",
        np.where(object_at(60, 80, 9, 1) > 0.5, 65535, 0).astype("u2"),
    )
    yield "one value", np.full(SHAPE, 7000, np.uint16)
    yield "ramp", np.arange(0, 16000, 100, np.uint16) + np.zeros((120, 1), np.uint16)
    yield "small", rng.integers(2000, 2400, (8, 8)).astype(np.uint16)
    yield "smallest", np.array([[0, 65535], [3, 7]], np.uint16)
    yield "colour", rng.integers(0, 9, (9, 9, 3)).astype(np.uint16) ** 5


@pytest.mark.parametrize(
    "image", [pytest.param(image, id=name) for name, image in clean()]
)
def test_other_images_keep_their_range_to_the_bit(image):
    scaled, found = pixels.to_pixel_range(image)
    low, high = float(image.min()), float(image.max())
    assert found == (low, high)
    expected = np.zeros(image.shape)
    if high > low:
        expected = (image.astype(np.float64) - low) * (255.0 / (high - low))
    np.testing.assert_array_equal(scaled, expected.astype(np.float32))


def test_real_images_have_no_foreign_pixels(shared):
    paths = [
        *(shared / "tno").glob("IR*.png"),
        *(shared / "roadscene/infrared").glob("*.*"),
    ]
    assert len(paths) == 29
    for path in paths:
        image = pixels.gray(images.read(path)).astype(np.uint16) * 30 + 7000
        judged = temperatures.judge(image)
        assert judged.found == "", path
        assert (judged.low, judged.high) == (image.min(), image.max())


def test_what_a_range_by_hand_clips_is_up_to_the_user():
    image = counts(scene())
    image[0] = 65535
    scaled, _ = pixels.to_pixel_range(image, (7000, 7400))
    assert (scaled[0] == 255).all()
    image = scene().astype(np.float32)
    image[0] = np.nan
    for value_range in ((7000, 7400), pixels.Percentiles(1, 99)):
        scaled, (low, high) = pixels.to_pixel_range(image, value_range)
        assert (scaled[0] == 0).all() and scaled[1:].any() and 6000 < low < high


NO_DATA = 42113


@pytest.mark.parametrize("value", ("-9999", "nan", "7 ", "-3.4028234663852886e+38"))
def test_a_nodata_tag_names_pixels(tmp_path, value):
    image = ((scene() - 7000) / 20 + 25).astype(np.float32)
    hole = np.zeros(SHAPE, bool)
    # Too few to be found by their value.
    hole[40:42, 30:32] = True
    image[hole] = float(value)
    path = tmp_path / "celsius.tif"
    tifffile.imwrite(path, image, extratags=[(NO_DATA, 2, 0, value, True)])
    read = images.read(path, masked=True)
    np.testing.assert_array_equal(np.ma.getmaskarray(read), hole)
    np.testing.assert_array_equal(read.data, image)
    assert temperatures.judge(read).found == "4 pixels without a value"
    if value == "nan":
        with pytest.raises(UserError, match="NaN, infinite"):
            images.read(path)
    else:
        assert not isinstance(images.read(path), np.ma.MaskedArray)


@pytest.mark.parametrize("value", ("none", "", "1e99", "-9999"))
def test_a_nodata_tag_of_no_value_is_none(tmp_path, value):
    path, image = tmp_path / "deep.tif", counts(scene())
    tifffile.imwrite(path, image, extratags=[(NO_DATA, 2, 0, value, True)])
    assert not np.ma.is_masked(images.read(path, masked=True))


def test_a_mask_names_pixels(tmp_path):
    image, mask = counts(scene()), np.full(SHAPE, 255, np.uint8)
    mask[:, :30] = 0
    path = tmp_path / "masked.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(image)
        writer.write(mask > 0, subfiletype=4, photometric="mask")
    read = images.read(path, masked=True)
    np.testing.assert_array_equal(np.ma.getmaskarray(read), mask == 0)


def test_transparent_pixels_have_no_value(tmp_path):
    image = np.stack([counts(scene()), np.full(SHAPE, 65535, np.uint16)], axis=-1)
    image[:, :30, 1] = 0
    path = tmp_path / "alpha.tif"
    tifffile.imwrite(path, image, photometric="minisblack", extrasamples=["unassalpha"])
    read = images.read(path, masked=True)
    np.testing.assert_array_equal(np.ma.getmaskarray(read), image[..., 1] == 0)


def test_pixels_without_a_value_turn_with_the_image(tmp_path):
    image = counts(scene())
    image[:10, :30] = 9
    path = tmp_path / "turned.tif"
    tags = [(NO_DATA, 2, 0, "9", True), (274, 3, 1, 6, True)]
    tifffile.imwrite(path, image, extratags=tags)
    read = images.read(path, masked=True)
    np.testing.assert_array_equal(np.rot90(image, -1), read.data)
    np.testing.assert_array_equal(read.mask, read.data == 9)


@pytest.mark.parametrize("dtype", (np.uint16, np.float32))
def test_a_mask_is_written_so_that_it_is_read_again(tmp_path, dtype):
    image = scene().round().astype(dtype)
    image[5, 5] = 0
    mask = np.zeros(SHAPE, bool)
    mask[:, 100:] = True
    path = tmp_path / "written.tif"
    images.write(path, np.ma.masked_array(image, mask))
    read = images.read(path, masked=True)
    np.testing.assert_array_equal(read.mask, mask)
    np.testing.assert_array_equal(read.data[~mask], image[~mask])


def test_an_image_without_any_value_is_refused(tmp_path):
    path = tmp_path / "nan.tif"
    tifffile.imwrite(path, np.full((9, 9), np.nan, np.float32))
    for masked in (True, False):
        with pytest.raises(UserError, match="nan.tif: has values that are NaN, inf"):
            images.read(path, masked=masked)


def test_a_closed_shutter_is_an_empty_frame():
    frames = [temperatures.judge(counts(scene(seed))) for seed in range(5)]
    low, high = min(one.low for one in frames), max(one.high for one in frames)
    for shutter in (
        np.zeros(SHAPE),
        np.full(SHAPE, 16383),
        scene(9, low=9000, contrast=1),
    ):
        whole, empty = temperatures.together(
            [*frames[:2], temperatures.judge(counts(shutter)), *frames[2:]]
        )
        assert empty == [2] and (whole.low, whole.high) == (low, high)
    # A scene that gets warm and bare in steps is a scene.
    steps = [
        temperatures.judge(counts(scene(9, 7000 + 40 * n, 60 - n))) for n in range(55)
    ]
    _, empty = temperatures.together(steps)
    assert empty == []
    flat = [temperatures.judge(np.full((9, 9), value, np.uint16)) for value in (5, 9)]
    whole, empty = temperatures.together(flat)
    assert empty == [] and (whole.low, whole.high) == (5, 9)


def test_a_frame_is_flat_that_spreads_by_a_quarter_of_the_others():
    assert temperatures.is_flat(np.array([0, 10, 11]), 40).tolist() == [1, 1, 0]


def test_one_restless_frame_makes_no_other_one_empty():
    frames = [temperatures.Judged(100, 140, (101, 139), 40) for _ in range(4)]
    restless = temperatures.Judged(5000, 6000, (5001, 5999), 1000)
    whole, empty = temperatures.together([*frames, restless])
    assert empty == [] and (whole.low, whole.high) == (100, 6000)


def test_outliers_are_what_lies_outside_of_a_thousandth_at_either_end():
    judged = temperatures.judge(np.arange(4004, dtype=np.uint16).reshape(44, 91))
    # The values themselves are their places in order.
    assert (judged.low, judged.high) == (0, 4003)
    assert judged.inner == (4, 3999) and judged.spread == 3963 - 40
    assert not judged.has_outliers
    for inner, has_outliers in (((0, 50), False), ((30, 79), True), (None, False)):
        one = temperatures.Judged(0.0, 100.0, inner)
        assert one.has_outliers == has_outliers


def test_a_sequence_has_the_extremes_of_all_its_frames():
    frames = [
        temperatures.Judged(low, high, (low + 1, high - 1), high - low)
        for low, high in ((20, 90), (10, 80), (30, 95), (25, 85))
    ]
    whole, empty = temperatures.together(frames)
    assert empty == []
    assert (whole.low, whole.high) == (10, 95) and whole.inner == (11, 94)
