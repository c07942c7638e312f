"""Reads PGM and PPM images: https://netpbm.sourceforge.net/doc/pgm.html.

Pillow stretches the values of every maximum to 8 or 16 bits; here counts and
temperatures of more than 8 bits stay what they are.
"""

import re
from collections.abc import Callable
from typing import BinaryIO

import numpy as np

# Width, height and the largest value, with comments before each.
_HEADER = re.compile(rb"P([2356])" + 3 * rb"(?:\s|#[^\r\n]*[\r\n])+([0-9]+)" + rb"\s")
_HEADER_BYTES = 2**16


def read(file: BinaryIO, check: Callable[[int, int], None]) -> np.ndarray:
    """Reads the first image of an open file; see `decoding.decode`.

    Returns:
      [height, width] or [height, width, 3]: uint16 as stored where the header's largest
      value is above 255; otherwise uint8, where that value becomes 255.
    """
    header = _HEADER.match(file.read(_HEADER_BYTES))
    if header is None:
        raise ValueError("no width, height and largest value")
    kind, width, height, top = map(int, header.groups())
    check(height, width)
    if not 0 < top < 2**16:
        raise ValueError(f"the largest value is {top}")
    shape = (height, width) if kind in (2, 5) else (height, width, 3)
    count = int(np.prod(shape))
    file.seek(header.end())
    dtype = np.dtype(np.uint8 if top < 256 else ">u2")
    if kind < 4:
        texts = re.sub(rb"#[^\r\n]*", b"", file.read()).split()
        values = np.array(texts[:count], np.bytes_).astype(np.int64)
        image = values.astype(dtype)
        if (image != values).any():
            raise ValueError(f"a value is not in 0..{np.iinfo(dtype).max}")
    else:
        image = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    image = image.reshape(shape)
    if top < 255:
        image = np.minimum((image.astype(np.uint16) * 255 + top // 2) // top, 255)
    return image.astype(np.uint8 if top < 256 else np.uint16)
