"""The table of formats, against the files themselves."""

import io

import numpy as np
import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.io import decoding
from densefuse_tf.io import formats
from densefuse_tf.io import images

IMAGE = np.arange(120, dtype=np.uint8).reshape(10, 12)


@pytest.mark.parametrize("suffix", formats.WRITTEN)
def test_what_is_written_is_known_and_read(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    images.write(path, IMAGE)
    with open(path, "rb") as file:
        assert decoding.kind("x", file) == formats.WRITTEN[suffix].name
    assert suffix in formats.READ
    assert np.abs(images.read(path).astype(int) - IMAGE).max() <= 3


@pytest.mark.parametrize("dtype", (np.uint16, np.float32))
@pytest.mark.parametrize("suffix", formats.WRITTEN)
def test_more_than_8_bits_are_written_where_there_is_room(tmp_path, suffix, dtype):
    path, image = tmp_path / f"image{suffix}", IMAGE.astype(dtype) * 300
    if formats.WRITTEN[suffix].is_deep:
        images.write(path, image)
        np.testing.assert_array_equal(images.read(path), image)
        assert images.read(path).dtype == dtype
    else:
        with pytest.raises(UserError, match=f"cannot write {np.dtype(dtype)} values"):
            images.write(path, image)
        assert not path.exists()


@pytest.mark.parametrize("each", [f for f in formats.FORMATS if not f.is_read])
def test_what_is_not_read_is_named(each):
    start = bytes(each.offset) + each.starts[-1] + bytes(20)
    with pytest.raises(UserError, match=rf"is in the format {each.name}: expected PNG"):
        decoding.kind("x", io.BytesIO(start))


def test_each_suffix_has_one_format():
    assert len(formats.NAMED) == sum(len(each.suffixes) for each in formats.FORMATS)
    assert not set(formats.NAMED) & set(formats.VIDEOS)
    assert set(formats.WRITTEN_VIDEOS) < set(formats.VIDEOS)
