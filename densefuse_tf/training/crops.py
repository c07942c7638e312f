"""How a photograph becomes a grey crop, and where crops are kept."""

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
from densefuse_tf.training.settings import RESIZE_FILTERS

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
    resize: str = "nearest"
    random_crop: bool = False

    def read(self, path: pathlib.Path, random: np.random.Generator) -> np.ndarray:
        """Reads the crop of one file, [size, size] uint8, grey by ITU-R 601-2.

        Raises:
          UserError: The file is not a readable image.
        """
        grey = pixels.gray(_as_bytes(images.read(path)))
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


def _as_bytes(image: np.ndarray) -> np.ndarray:
    """Brings photographs of more than 8 bits to uint8 by their own range."""
    if image.dtype == np.uint8:
        return image
    scaled, _ = pixels.to_pixel_range(image, "auto")
    return np.rint(scaled).astype(np.uint8)


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

        Args:
          photographs: All files that will be read.
          crops: How they are cropped.
          file: Where to keep the crops; None for memory.

        Raises:
          UserError: Random crops cannot be cached; the file cannot be written or was
            made for other photographs.
        """
        if crops.random_crop:
            raise UserError("random crops differ each epoch and cannot be cached")
        record = np.dtype([("state", "u1"), ("crop", "u1", (crops.size, crops.size))])
        size = len(photographs) * record.itemsize
        logging.info(
            "crop cache: %d crops take %.1f MB in %s",
            len(photographs),
            size / 1e6,
            file or "memory",
        )
        if file is None:
            self._records = np.zeros(len(photographs), record)
            return
        names = b"\n".join(map(os.fsencode, photographs))
        belongs = {
            "crops": dataclasses.asdict(crops),
            "photographs": hashlib.sha256(names).hexdigest(),
        }
        label = pathlib.Path(f"{file}.json")
        if not os.path.exists(file):
            # The label first: a file without one would be refused as somebody else's.
            with files.replacing(label) as temporary:
                temporary.write_text(json.dumps(belongs))
            with files.replacing(file) as temporary, open(temporary, "wb") as empty:
                os.posix_fallocate(empty.fileno(), 0, size)
        elif not label.exists() or label.read_text() != json.dumps(belongs):
            raise UserError(
                f"{file}: is not a crop cache of these photographs and settings; "
                "remove it or name another file"
            )
        with files.reporting(file):
            self._records = np.memmap(file, record, "r+", shape=len(photographs))

    def get(self, index: int) -> tuple[int, np.ndarray]:
        """Returns the state and, where it is READABLE, the crop of a photograph."""
        record = self._records[index]
        return int(record["state"]), record["crop"]

    def put(self, index: int, state: int, crop: np.ndarray) -> None:
        """Keeps a crop; the state last, so that a reader never sees half a crop."""
        self._records["crop"][index] = crop
        self._records["state"][index] = state
