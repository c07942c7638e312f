"""Tests of images.read on the files of ../shared/cases."""

import numpy as np
import pytest

from densefuse_tf.io import images

NAMES = (
    *("colormap_of_0_to_255.tif", "no_photometric_16.tif", "orientation_count_2.tif"),
    *("strip_bytes_0.tif", "thumbnail_first.tif", "nodata_-9999.tif"),
    *("exif_no_tiff.png", "exif_orientation_as_text.jpg", "phys_too_short.png"),
    *("ztxt_3_mb.png", "jpeg_12_bits.jpg"),
    *("two_telemetry_rows.png", "dead_row.png", "uncovered_border.png"),
)


@pytest.mark.parametrize("name", NAMES)
def test_reading_gives_the_right_array(shared, name):
    right = np.load(shared / "cases/right.npz")[name]
    read = images.read(shared / "cases" / name)
    np.testing.assert_array_equal(read, right)
    assert read.dtype == right.dtype
