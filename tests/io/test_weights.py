"""Arrays in .npz and .npy files, however they were made."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.io import weights


def read(path):
    return weights.read_arrays(path, what="weights", max_bytes=200_000)


def npy(header: bytes, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def npz(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


HUGE = b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000,), }\n"


def test_what_was_written_is_read(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.float32(2)}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    for name, array in read(tmp_path / "a.npz").items():
        np.testing.assert_array_equal(array, arrays[name])
    np.save(tmp_path / "a.npy", arrays["a"])
    np.testing.assert_array_equal(read(tmp_path / "a.npy")[""], arrays["a"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npz(a=npy(HUGE, bytes(100_000_000))), "has 100000078 bytes: expected at most"),
        (npz(a=npy(HUGE)), "cannot be read as weights"),
        (npy(HUGE), "cannot be read as weights"),
        (npz(a=b"no array"), "cannot be read as weights"),
        (npz(a=npy(HUGE.replace(b"<f8", b"|O"))), "cannot be read as weights"),
        (b"MATLAB 5.0 MAT-file", r"convert_weights makes of it"),
    ],
)
def test_what_unpacks_to_more_or_holds_no_arrays_is_refused(put, data, message):
    path = put(data, "w.npz")
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=message):
            read(path)
        # Other threads of the tests may take some megabytes meanwhile.
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
