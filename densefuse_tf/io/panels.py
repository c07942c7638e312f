"""Panels, sources and results side by side in one picture, and scales beside one."""

import math
import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

from densefuse_tf.errors import UserError
from densefuse_tf.io import palettes
from densefuse_tf.io import pixels

# Pixels. A panel is made to be looked at on a screen or printed across a page.
_MAX_WIDTH = 2400
_MAX_CELL = 640
_MIN_CELL = 240
_MAX_AREA = 60_000_000
# The width at which images can still be told apart, however many there are.
_SMALLEST_CELL = 96
# The height of a cell in widths; a taller image is fitted by its height.
_MAX_ASPECT = 1.5

_MAX_LINES = 3
_BACKGROUND = (255, 255, 255)
_TEXT = (38, 38, 38)
# The frame shows where a white image ends.
_FRAME = (204, 204, 204)

# Pillow's own font has ASCII only; these letters of the field are spelled out.
_SPELLED = str.maketrans({"λ": "lambda", "ℓ": "l", "×": "x", "–": "-", "—": "-"})


def panel(rows: Sequence[Sequence[tuple[str, np.ndarray]]]) -> np.ndarray:
    """Makes one picture of images in rows and columns, with captions below them.

    Like the paper's Figures 8 and 9: for instance the source images in the first row
    and the results of one strategy, for each lambda, in each of the next. All images
    are fitted to cells of one width: small ones are enlarged, large ones reduced. Rows
    may have different lengths; shorter ones are centred.

    Args:
      rows: For each row its (caption, image) pairs, left to right. Images are grey or
        RGB of any size and dtype that `pixels.check` takes; uint16 and floats are
        shown with their own minimum black and their maximum white. Captions are
        wrapped, and letters beyond ASCII written as near to it as possible (λ as
        lambda); an empty one takes no room.

    Returns:
      uint8 [height, width, 3] on white, at most 2400 wide up to 22 columns.

    Raises:
      UserError: There is no image, or an array is not an image.
    """
    rows = [row for row in rows if len(row)]
    if not rows:
        raise UserError("a panel needs an image: expected one or more")
    for row in rows:
        for caption, image in row:
            pixels.check(image, caption or "an image of the panel")

    columns = max(len(row) for row in rows)
    cell = _cell_width(rows, columns)
    gap = max(6, round(cell * 0.05))
    margin = round(gap * 1.5)
    text_size = min(22, max(12, round(cell / 17)))
    font = ImageFont.load_default(size=text_size)
    line_height = round(text_size * 1.3)

    placed = []
    top = margin
    for row in rows:
        sizes = [_fitted(image, cell) for _, image in row]
        captions = [_wrap(caption, font, cell) for caption, _ in row]
        tallest = max(height for _, height in sizes)
        left = margin + (columns - len(row)) * (cell + gap) // 2
        for (_, image), (width, height), lines in zip(
            row, sizes, captions, strict=True
        ):
            x, y = left + (cell - width) // 2, top + (tallest - height) // 2
            placed.append((image, (x, y, width, height), left, top + tallest, lines))
            left += cell + gap
        most_lines = max(len(lines) for lines in captions)
        top += tallest + gap
        if most_lines:
            top += gap // 2 + most_lines * line_height

    width = 2 * margin + columns * cell + (columns - 1) * gap
    picture = Image.new("RGB", (width, top - gap + margin), _BACKGROUND)
    draw = ImageDraw.Draw(picture)
    for image, (x, y, width, height), left, bottom, lines in placed:
        picture.paste(_resized(image, width, height), (x, y))
        draw.rectangle((x - 1, y - 1, x + width, y + height), outline=_FRAME)
        for number, line in enumerate(lines):
            draw.text(
                (left + cell / 2, bottom + gap // 2 + (number + 0.5) * line_height),
                line,
                font=font,
                fill=_TEXT,
                anchor="mm",
            )
    return np.asarray(picture)


def with_scale(
    image: np.ndarray, palette: str, low: float, high: float, unit: str = ""
) -> np.ndarray:
    """Puts a bar of a palette's colours beside an image, with the values they show.

    Args:
      image: uint8, [H, W] or [H, W, 3].
      palette: One of `palettes.PALETTES`.
      low: The value of its first colour.
      high: The value of its last colour.
      unit: Stands above the numbers, as "°C".

    Returns:
      uint8 [H, W + w, 3] on white; w depends on the height and the numbers.
    """
    height = len(image)
    size = min(40, max(10, height // 24))
    font = ImageFont.load_default(size=size)
    ticks = _ticks(low, high, most=max(1, height // (3 * size)))
    labels = [f"{value:g}" for value in ticks]
    widest = max(font.getlength(label) for label in [*labels, unit])
    gap, bar = size // 2, 3 * size // 2
    strip = Image.new("RGB", (round(3 * gap + bar + widest), height), _BACKGROUND)
    draw = ImageDraw.Draw(strip)
    # The unit has its line, and the first and the last number their halves.
    top, bottom = size + 2 * gap, max(size + 2 * gap + 1, height - 1 - gap)
    colors = palettes.levels(palette)
    shown = np.linspace(255, 0, bottom - top + 1).round().astype(int)
    strip.paste(Image.fromarray(np.repeat(colors[shown, None], bar, 1)), (gap, top))
    draw.text((2 * gap + bar, gap), unit, font=font, fill=_TEXT, anchor="lt")
    for value, label in zip(ticks, labels, strict=True):
        share = (value - low) / (high - low) if high > low else 0.5
        y = bottom - share * (bottom - top)
        draw.line((gap + bar - gap // 2, y, gap + bar, y), fill=_BACKGROUND)
        draw.text((2 * gap + bar, y), label, font=font, fill=_TEXT, anchor="lm")
    return np.hstack([pixels.rgb(image), np.asarray(strip)])


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Returns round numbers from low to high, at most so many; low if they are one."""
    if not low < high:
        return [low]
    exponent = math.floor(math.log10((high - low) / most))
    steps = (factor * 10.0**exponent for factor in (1, 2, 5, 10, 20, 50, 100))
    for step in steps:
        first, last = math.ceil(low / step), math.floor(high / step)
        if last - first < most:
            return [number * step for number in range(first, last + 1)] or [low]
    return [low]


def _cell_width(rows: Sequence[Sequence[tuple[str, np.ndarray]]], columns: int) -> int:
    shapes = [image.shape for row in rows for _, image in row]
    widest = max(width for _, width, *_ in shapes)
    aspect = min(_MAX_ASPECT, max(height / width for height, width, *_ in shapes))
    by_area = (_MAX_AREA / (columns * len(rows) * (aspect + 0.3))) ** 0.5
    # 1.1 for gaps and margins, which grow with the cell.
    by_width = _MAX_WIDTH / (1.1 * columns)
    cell = min(max(widest, _MIN_CELL), _MAX_CELL, by_area, by_width)
    return max(_SMALLEST_CELL, int(cell))


def _fitted(image: np.ndarray, cell: int) -> tuple[int, int]:
    """Returns the width and height at which an image fills its cell in proportion."""
    height, width = image.shape[:2]
    scale = min(cell / width, cell * _MAX_ASPECT / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resized(image: np.ndarray, width: int, height: int):
    image = np.ascontiguousarray(pixels.as_bytes(image))
    picture = Image.fromarray(image).convert("RGB")
    if picture.size == (width, height):
        return picture
    # A tiny image is enlarged without smoothing, so that its pixels can be seen.
    magnified = width >= 4 * image.shape[1]
    method = Image.Resampling.NEAREST if magnified else Image.Resampling.LANCZOS
    return picture.resize((width, height), method)


def _wrap(caption: str, font, width: int) -> list[str]:
    """Breaks a caption into lines no wider than `width`; file names break anywhere."""
    spelled = unicodedata.normalize("NFKD", caption.translate(_SPELLED))
    plain = "".join(
        letter if " " <= letter <= "~" else "?"
        for letter in " ".join(spelled.split())
        if not unicodedata.combining(letter)
    )
    lines = []
    line = ""
    for word in plain.split():
        longer = f"{line} {word}" if line else word
        if font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        while font.getlength(word) > width:
            fits = len(word) - 1
            while fits > 1 and font.getlength(word[:fits]) > width:
                fits -= 1
            lines.append(word[:fits])
            word = word[fits:]
        line = word
    if line:
        lines.append(line)
    if len(lines) > _MAX_LINES:
        last = lines[_MAX_LINES - 1]
        while last and font.getlength(last + "...") > width:
            last = last[:-1]
        lines = [*lines[: _MAX_LINES - 1], last + "..."]
    return lines
