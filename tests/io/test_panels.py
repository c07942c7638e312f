"""Panels: images in rows and columns with captions."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import ImageFont

from densefuse_tf.errors import UserError
from densefuse_tf.io import palettes
from densefuse_tf.io import panels
from densefuse_tf.io import pixels

WHITE = [255, 255, 255]


def flat(height: int, width: int, value: int | tuple[int, int, int]) -> np.ndarray:
    """An image of one grey level or one colour."""
    shape = (height, width) if isinstance(value, int) else (height, width, 3)
    return np.full(shape, value, np.uint8)


def boxes(picture: np.ndarray, color: tuple[int, int, int]) -> list[tuple]:
    """Top, bottom, left and right of the area that has exactly this colour."""
    rows, columns = np.nonzero((picture == color).all(-1))
    return [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1]


def test_images_are_placed_in_rows_and_columns():
    red, green, blue = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    picture = panels.panel(
        [
            [("red", flat(100, 300, red)), ("green", flat(100, 300, green))],
            [("blue", flat(100, 300, blue))],
        ]
    )
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    width = picture.shape[1]
    first, second, third = (boxes(picture, color) for color in (red, green, blue))
    for top, bottom, left, right in (first, second, third):
        assert (bottom - top, right - left) == (100, 300)
    # One row at one height, the next below it, a shorter row in the middle.
    assert first[:2] == second[:2] and first[3] < second[2]
    assert third[0] > first[1]
    assert abs(third[2] + third[3] - first[2] - second[3]) <= 1
    # The margins are white, and as wide on the left as on the right.
    assert first[2] == width - second[3]
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == 255).all()


def caption_rows(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """What stands below an area of a colour: its text, as dark pixels."""
    _, bottom, left, right = boxes(picture, color)
    return (picture[bottom + 2 :, left:right] < 128).all(-1)


@pytest.mark.parametrize("size", [(2, 2), (40, 60), (600, 800), (5000, 4000)])
def test_captions_are_legible_at_any_size(size):
    color = (30, 200, 100)
    picture = panels.panel([[("H", flat(*size, color))]])
    text = np.nonzero(caption_rows(picture, color))
    letter_height = np.ptp(text[0]) + 1
    assert 8 <= letter_height <= 24
    assert max(picture.shape[:2]) < 1200
    # In the middle below its image.
    _, _, left, right = boxes(picture, color)
    assert abs((text[1].min() + text[1].max()) / 2 - (right - left) / 2) <= 2


def test_caption_stays_below_its_own_image():
    colors = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    long = "a_file_name_without_a_space_" * 6
    row = [("", flat(80, 80, colors[0])), (long, flat(80, 80, colors[1]))]
    row.append(("short", flat(80, 80, colors[2])))
    picture = panels.panel([row])
    dark = (picture < 128).all(-1)
    lefts = [boxes(picture, color)[2] for color in colors]
    rights = [boxes(picture, color)[3] for color in colors]
    columns = np.nonzero(dark.any(0))[0]
    assert not ((columns >= lefts[0]) & (columns < rights[0])).any()
    assert ((columns >= lefts[1]) & (columns < rights[1])).any()
    between = (columns >= rights[1]) & (columns < lefts[2])
    assert not between.any() and columns.max() < rights[2]


def test_wrapping_breaks_words_and_ends_in_dots():
    font = ImageFont.load_default(size=14)
    assert panels._wrap("", font, 200) == []
    assert panels._wrap("  one\n line ", font, 200) == ["one line"]
    lines = panels._wrap("one two three four five six", font, 70)
    assert " ".join(lines) == "one two three four five six"
    assert all(font.getlength(line) <= 70 for line in lines)
    broken = panels._wrap("2019-05-01T12.png", font, 70)
    assert "".join(broken) == "2019-05-01T12.png" and len(broken) > 1
    long = panels._wrap("word " * 60, font, 70)
    assert len(long) == 3 and long[-1].endswith("...")
    assert font.getlength(long[-1]) <= 70


def test_captions_are_spelled_in_ascii():
    font = ImageFont.load_default(size=14)
    assert panels._wrap("λ = 100, ℓ1-norm", font, 400) == ["lambda = 100, l1-norm"]
    assert panels._wrap("Größe café 3×3 中", font, 400) == ["Gro?e cafe 3x3 ?"]


def test_16_bit_and_float_images_are_shown():
    ramp = np.linspace(0, 1, 300 * 200).reshape(200, 300)
    picture = panels.panel(
        [
            [
                ("uint8", np.rint(ramp * 255).astype(np.uint8)),
                ("uint16", np.rint(ramp * 9000 + 500).astype(np.uint16)),
                ("float32", (ramp * 40 - 20).astype(np.float32)),
            ]
        ]
    )
    cells = np.array_split(picture[40:200], 3, axis=1)
    for cell in cells:
        assert (cell == cell[..., :1]).all()
    middles = [int(cell[80, 160, 0]) for cell in cells]
    assert 60 < min(middles) and max(middles) - min(middles) <= 2


def test_colours_are_kept():
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    picture = panels.panel([[("", image)]])
    frame = np.argwhere((picture == 204).all(-1))
    top, left = frame.min(0) + 1
    np.testing.assert_array_equal(picture[top : top + 300, left : left + 400], image)


def test_white_image_has_a_frame():
    picture = panels.panel([[("", flat(200, 300, 255))]])
    frame = (picture == 204).all(-1)
    assert frame.any() and frame.sum() == 2 * (302 + 200)


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 5, 8, 13, 22])
def test_panel_fits_a_screen_in_width(columns):
    picture = panels.panel([[("a caption", flat(576, 768, 90))] * columns] * 2)
    assert 400 <= picture.shape[1] <= 2400


def test_many_images_take_limited_memory():
    picture = panels.panel([[("x", flat(150, 200, 90))] * 4] * 200)
    assert picture.nbytes < 3 * 70_000_000


@hypothesis.settings(deadline=None, derandomize=True, max_examples=25)
@hypothesis.given(
    st.lists(
        st.lists(st.tuples(st.integers(2, 90), st.integers(2, 90)), max_size=4),
        min_size=1,
        max_size=3,
    ).filter(any)
)
def test_any_sizes_fit_together(sizes):
    rows = [[("a b", flat(h, w, 7)) for h, w in row] for row in sizes]
    picture = panels.panel(rows)
    assert (picture[[0, -1]] == WHITE).all() and (picture[:, [0, -1]] == WHITE).all()
    # Every image is there, in its own proportions, up to rounding.
    shown = (picture == 7).all(-1).sum()
    least = 240 if max(len(row) for row in rows) < 10 else 96
    expected = sum(
        min(least, 1.5 * least * w / h) ** 2 * h / w for row in sizes for h, w in row
    )
    np.testing.assert_allclose(shown, expected, rtol=0.1)


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([], "expected one or more"),
        ([[], []], "expected one or more"),
        ([[("result", np.ones((3, 3, 2), np.uint8))]], "result: .*shape"),
        ([[("", np.full((3, 3), np.nan))]], "an image of the panel: .*NaN"),
    ],
)
def test_panel_refuses_what_is_no_image(rows, found):
    with pytest.raises(UserError, match=found):
        panels.panel(rows)


@pytest.mark.parametrize("shape", [(60, 80), (480, 640, 3)])
def test_a_scale_stands_beside_an_image(shape):
    image = np.full(shape, 77, np.uint8)
    picture = panels.with_scale(image, "inferno", 20, 40, "°C")
    width = shape[1]
    assert picture.shape[0] == shape[0] and picture.shape[1] > width
    np.testing.assert_array_equal(picture[:, :width], pixels.rgb(image))
    levels = palettes.levels("inferno")
    column = picture[:, width + max(10, shape[0] // 24)]
    places = [np.flatnonzero((column == levels[at]).all(axis=1)) for at in (255, 0)]
    # Hot is above cold, and the bar fills more than half of the height.
    assert places[1].max() - places[0].min() > 0.5 * shape[0]


@pytest.mark.parametrize(
    "low, high, most, expected",
    [
        (25.9, 62.3, 6, [30, 40, 50, 60]),
        (0, 255, 9, [0, 50, 100, 150, 200, 250]),
        (7012, 9345, 1, [8000]),
        (-3, -2.5, 5, [-3, -2.8, -2.6]),
        (5, 5, 3, [5]),
    ],
)
def test_scales_have_round_numbers(low, high, most, expected):
    np.testing.assert_allclose(panels._ticks(low, high, most), expected)
