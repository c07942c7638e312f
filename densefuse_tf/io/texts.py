"""Reads and writes text files, CSV and JSON among them, in UTF-8.

They are written whole or not at all. File names in them that are not UTF-8 keep their
bytes.
"""

import csv
import io
import itertools
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from densefuse_tf.errors import UserError
from densefuse_tf.io import files

# What a spreadsheet takes for a formula, or what looks as if this module had marked it.
_FORMULA = re.compile(r"'*[=@+\-\t\r]")


def read(path: str | os.PathLike, expected: str) -> str:
    """Reads a text file whole; see `files.open_to_read`.

    Raises:
      UserError: It cannot be read, or is no text in UTF-8.
    """
    try:
        with files.open_to_read(path, expected) as file:
            return file.read().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise UserError(f"{os.fspath(path)}: cannot be read: {reason}") from error


def write(path: str | os.PathLike, text: str, *, overwrite: bool = True) -> None:
    """Writes a text file."""
    with files.replacing(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, "utf-8", "surrogateescape")


def write_json(
    path: str | os.PathLike, content: Mapping[str, Any], *, overwrite: bool = True
) -> None:
    """Writes a JSON file."""
    write(path, json.dumps(content, indent=2) + "\n", overwrite=overwrite)


def write_rows(
    path: str | os.PathLike,
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    overwrite: bool = True,
) -> None:
    """Writes a CSV file.

    A text that a spreadsheet would take for a formula gets an apostrophe before it,
    which `read_rows` takes off again.
    """
    with files.replacing(path, overwrite=overwrite) as temporary:
        with open(
            temporary, "w", newline="", encoding="utf-8", errors="surrogateescape"
        ) as file:
            writer = csv.writer(file, lineterminator="\n")
            for row in itertools.chain([header], rows):
                writer.writerow(map(_as_text, row))


def read_rows(path: str | os.PathLike, expected: str) -> list[list[str]]:
    """Reads the rows of a CSV file, the header among them, as `write_rows` took them.

    Raises:
      UserError: It cannot be read, or is no text in UTF-8 or no CSV file.
    """
    lines = io.StringIO(read(path, expected), newline="")
    try:
        return [
            [
                cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell
                for cell in row
            ]
            for row in csv.reader(lines)
        ]
    except csv.Error as error:
        raise UserError(f"{os.fspath(path)}: cannot be read: {error}") from error


def _as_text(cell: str) -> str:
    """Marks what is no number and would be a formula."""
    if not _FORMULA.match(cell):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
