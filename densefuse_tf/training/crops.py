"""The square grey crops of photographs, and a cache of them."""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from absl import logging
from PIL import Image

from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.io import texts
from densefuse_tf.training.settings import RESIZE_FILTERS
from densefuse_tf.training.settings import Resize

# Whether the file of a crop could be read, as a cache keeps it.
UNKNOWN, READABLE, CORRUPT = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class Crops:
    """How a photograph becomes a square grey crop.

    Attributes:
      size: Height and width of the crop in pixels.
      resize: A key of settings.RESIZE_FILTERS; the release takes nearest.
      random_crop: Cut a random square out, instead of squashing the whole photograph
        to a square as the release does. Smaller photographs are enlarged first.
    """

    size: int = 256
    resize: Resize = "nearest"
    random_crop: bool = False

    def read(self, path: pathlib.Path, random: np.random.Generator) -> np.ndarray:
        """Reads the crop of one file, [size, size] uint8, grey by ITU-R 601-2."""
        grey = pixels.gray(pixels.as_bytes(images.read(path)))
        if self.random_crop:
            grey = self._cut(grey, random)
        return self._resized(grey, (self.size, self.size))

    def _cut(self, grey: np.ndarray, random: np.random.Generator) -> np.ndarray:
        shorter = min(grey.shape)
        if shorter < self.size:
            scale = self.size / shorter
            grey = self._resized(
                grey, tuple(max(self.size, round(side * scale)) for side in grey.shape)
            )
        top, left = (random.integers(side - self.size + 1) for side in grey.shape)
        return grey[top : top + self.size, left : left + self.size]

    def _resized(self, grey: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        if grey.shape == shape:
            return grey
        resample = Image.Resampling[RESIZE_FILTERS[self.resize]]
        return np.asarray(Image.fromarray(grey).resize(shape[::-1], resample))


class CropCache:
    """Grey 8-bit crops kept in memory or in a file, filled as they are first read.

    A cache file belongs to one list of photographs and one way to crop them; a file
    made for another is refused, not overwritten.
    """

    def __init__(
        self,
        photographs: Sequence[pathlib.Path],
        crops: Crops,
        file: str | os.PathLike | None = None,
    ):
        """Makes room for all crops and says how much, or opens `file` again.

        Without a file they are kept in memory.
        """
        if crops.random_crop:
            raise UserError("random crops differ each epoch and cannot be cached")
        record = np.dtype([("state", "u1"), ("crop", "u1", (crops.size, crops.size))])
        size = len(photographs) * record.itemsize
        where = "memory" if file is None else str(file)
        logging.info(
            "crop cache: %d crops take %.1f MB in %s",
            len(photographs),
            size / 1e6,
            where,
        )
        if file is None:
            self._records = np.zeros(len(photographs), record)
            return
        file = pathlib.Path(file)
        belongs = {
            "crops": dataclasses.asdict(crops),
            "photographs": hashlib.sha256(
                b"\n".join(map(os.fsencode, photographs))
            ).hexdigest(),
        }
        label = file.with_name(file.name + ".json")
        if file.exists():
            if _label(label) != belongs:
                raise UserError(
                    f"{file}: is not a crop cache of these photographs and settings; "
                    "remove it or name another file"
                )
        else:
            # The label first: a file without one would be refused as somebody else's.
            texts.write_json(label, belongs)
            with files.replacing(file) as temporary, open(temporary, "wb") as empty:
                # A hole in the file would end the process where the disk is full.
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(empty.fileno(), 0, size)
                else:
                    empty.writelines(bytes(record.itemsize) for _ in photographs)
        try:
            self._records = np.memmap(file, record, "r+", shape=len(photographs))
        except OSError as error:
            raise files.cannot_write(file, error) from error

    def get(self, index: int) -> tuple[int, np.ndarray]:
        """Returns the state and, where it is READABLE, the crop of a photograph."""
        record = self._records[index]
        return int(record["state"]), record["crop"]

    def put(self, index: int, state: int, crop: np.ndarray) -> None:
        """Keeps a crop; the state last, so that a reader never sees half a crop."""
        self._records["crop"][index] = crop
        self._records["state"][index] = state


def _label(path: pathlib.Path) -> dict | None:
    """Returns what a cache belongs to, or None if nobody can tell."""
    try:
        return json.loads(texts.read(path, "the label of a crop cache"))
    except (ValueError, RecursionError):
        return None
