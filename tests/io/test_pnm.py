"""Tests of densefuse_tf.io.pnm through images.read: PGM and PPM files."""

import numpy as np
import pytest
from image_bytes import encoded
from image_bytes import ramp

from densefuse_tf.errors import UserError
from densefuse_tf.io import images

COUNTS = np.array([[7000, 8123, 0], [255, 256, 16383]], np.uint16)
BYTES = np.array([[0, 7, 255], [100, 128, 9]], np.uint8)


@pytest.mark.parametrize(
    "header",
    [b"P5\n3 2\n%d\n", b"P5 3 2 %d ", b"P5\n# Lepton\n3 # wide\n#\n 2\r\n%d\n"],
)
def test_binary_values_are_what_is_stored(put, header):
    for top in (16383, 65535):
        read = images.read(put(header % top + COUNTS.astype(">u2").tobytes(), "a.pgm"))
        np.testing.assert_array_equal(read, COUNTS)
        assert read.dtype == np.uint16 and read.flags.writeable
    read = images.read(put(header % 255 + BYTES.tobytes()))
    np.testing.assert_array_equal(read, BYTES)
    assert read.dtype == np.uint8


def test_text_values_are_what_is_written(put):
    # As Lepton's tools write it: the largest value is the largest in the image.
    text = "P2\n3 2\n16383\n7000 8123 0\n255 256 16383\n"
    np.testing.assert_array_equal(images.read(put(text.encode())), COUNTS)
    text = "P2 3 2 # AGC\n255\n0 7 255 # first row\n100\t128\n\n9"
    np.testing.assert_array_equal(images.read(put(text.encode())), BYTES)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_color(put, dtype):
    image = ramp(4, 5, 3, dtype=dtype)
    top = np.iinfo(dtype).max
    raw = image.astype(image.dtype.newbyteorder(">")).tobytes()
    np.testing.assert_array_equal(images.read(put(b"P6 5 4 %d\n" % top + raw)), image)
    text = f"P3 5 4 {top}\n" + " ".join(map(str, image.ravel()))
    np.testing.assert_array_equal(images.read(put(text.encode())), image)


def test_pillows_files_are_read(put):
    for image in (ramp(6, 7), ramp(6, 7, dtype=np.uint16), ramp(6, 7, 3)):
        np.testing.assert_array_equal(images.read(put(encoded(image, "PPM"))), image)


def test_few_grey_levels_span_0_to_255(put):
    read = images.read(put(b"P5 4 2 15\n" + bytes([0, 1, 7, 15, 15, 0, 3, 5])))
    assert read.tolist() == [[0, 17, 119, 255], [255, 0, 51, 85]]
    read = images.read(put(b"P2 2 2 100\n0 50 100 99"))
    assert read.tolist() == [[0, 128], [255, 252]]
    assert read.dtype == np.uint8


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"P5\n3 2\n255\n" + bytes(5), "cut off or damaged"),
        (b"P5\n3 2\n65535\n" + bytes(11), "cut off or damaged"),
        (b"P2\n3 2\n255\n1 2 3 4 5", "cut off or damaged"),
        (b"P2\n3 2\n255\n1 2 3 4 5 x", "cut off or damaged"),
        (b"P2\n3 2\n255\n1 2 3 4 5 256", "cut off or damaged"),
        (b"P2\n3 2\n255\n1 2 3 4 5 -1", "cut off or damaged"),
        (b"P5\n3 2\n0\n" + bytes(6), "cut off or damaged"),
        (b"P5\n3 2\n65536\n" + bytes(99), "cut off or damaged"),
        (b"P5\n3 x\n255\n" + bytes(6), "cut off or damaged"),
        (b"P5", "cut off or damaged"),
        (b"P5\n60000 60000\n255\n", "its header promises 60000x60000"),
        (b"P5\n1 9\n255\n" + bytes(9), "is 9x1 pixels"),
        (b"P4\n8 2\n" + bytes(2), "is in the format PBM"),
        (b"P7\nWIDTH 3\n", "is in the format PAM"),
        (b"Pf\n3 2\n-1.0\n" + bytes(24), "is in the format PFM"),
    ],
)
def test_what_is_no_whole_file_is_refused(put, data, reason):
    with pytest.raises(UserError, match=reason) as caught:
        images.read(put(data, "a.pgm"))
    assert "\n" not in str(caught.value)


def test_the_size_is_known_from_the_header(put):
    assert images.stored_size(put(b"P5\n3 2\n255\n")) == (2, 3)
