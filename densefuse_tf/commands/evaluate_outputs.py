"""What evaluate.py writes: tables in several formats, beside what it prints."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Sequence

from densefuse_tf.commands import progress
from densefuse_tf.errors import UserError
from densefuse_tf.errors import one_line
from densefuse_tf.evaluation.tables import Table
from densefuse_tf.io import files
from densefuse_tf.io import formats
from densefuse_tf.io import outputs
from densefuse_tf.io import texts
from densefuse_tf.io import weights

# Files of these kinds are dear: they are read here, or lie beside what is.
_SUFFIXES_OF_INPUTS = (
    *(".keras", ".index", ".meta", ".data-00000-of-00001"),
    *(*weights.PYTORCH_SUFFIXES, ".npy", ".npz", ".mat"),
)


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Names the files; None for what is not asked for. A field is a flag's name."""

    csv: str | None = None
    pairs_csv: str | None = None
    markdown: str | None = None
    latex: str | None = None

    def check(self, inputs: Iterable[Iterable[str | os.PathLike]]) -> None:
        """Refuses names that would do harm, before the work.

        The inputs are the files that are read, of each scene; they are iterated several
        times.
        """
        given = {
            f"--{name}": path
            for name, path in dataclasses.asdict(self).items()
            if path is not None
        }
        if not given:
            return
        outputs.check_named(
            given, lambda: ((path, "an image") for own in inputs for path in own)
        )
        for name, path in given.items():
            # Files beside those that are read are as dear: pair 20, another checkpoint.
            suffix = pathlib.Path(path).suffix.lower()
            if suffix in formats.READ or suffix in _SUFFIXES_OF_INPUTS:
                raise UserError(
                    f"{name}={path}: is named as an image or a checkpoint: expected "
                    "another suffix"
                )
            files.make_folder(pathlib.Path(path).parent)

    def show(self, table: Table, notes: Sequence[str] = ()) -> None:
        """Prints a table and notes on it, and writes both as Markdown and LaTeX."""
        notes = list(map(one_line, notes))
        legend = table.legend("*", "'")
        print("\n".join([*filter(None, [legend]), table.text(), *notes]))
        lines = "".join(f"- {line}\n" for line in notes)
        if self.markdown is not None:
            legend = table.legend("bold", "italics")
            text = f"{legend}\n\n" if legend else ""
            text += table.markdown() + (f"\n{lines}" if notes else "")
            texts.write(self.markdown, text)
        if self.latex is not None:
            texts.write(self.latex, table.latex())


def write_csv(path: str | None, rows: Sequence[Sequence[str]]) -> None:
    """Writes a CSV file of a header and rows, if there is a path."""
    if path is not None:
        texts.write_rows(path, rows[0], rows[1:])


def say_colored(paths: Sequence[pathlib.Path]) -> None:
    """Prints which images are in colour."""
    if paths:
        what = "image, evaluated in grey (its luma)"
        if len(paths) > 1:
            what = "images, evaluated in grey (their luma)"
        names = ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")
        progress.say(f"{len(paths)} colour {what}: {names}")
