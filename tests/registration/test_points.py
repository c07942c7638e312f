"""Registration by points picked by hand."""

import numpy as np
import pytest

from densefuse_tf import registration
from densefuse_tf.errors import UserError
from densefuse_tf.registration import transforms

SHAPES = ((100, 200), (120, 240))
POINTS = np.array([[10, 10], [180, 15], [170, 90], [20, 80], [100, 50.0]])
MATRIX = np.array([[1.1, 0.1, 4], [-0.1, 1.2, 12], [0, 0, 1]])


@pytest.mark.parametrize("model", ["affine", "homography"])
def test_from_points_finds_the_transform_of_exact_points(model):
    target = transforms.apply(MATRIX, POINTS)
    found = registration.from_points(POINTS, target, shapes=SHAPES, model=model)
    assert found.accepted
    assert found.consistency == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(found.matrix, MATRIX, atol=1e-6)
    assert registration.from_points(POINTS, target, shapes=SHAPES).model == "affine"


def test_from_points_says_how_far_the_points_are_off():
    how = {"shapes": SHAPES, "model": "translation"}
    # No shift has a part of this: four points are off by 5 pixels.
    off = np.array([1, -1, 1, -1, 0])[:, None] * (3, 4)
    found = registration.from_points(POINTS[:4], POINTS[:4] + off[:4] + (7, 2), **how)
    np.testing.assert_allclose(found.matrix[:2, 2], (7, 2))
    assert found.consistency == pytest.approx(5)
    # The root of the mean square, and no mean.
    found = registration.from_points(POINTS, POINTS + off, **how)
    assert found.consistency == pytest.approx(np.sqrt(25 * 4 / 5))


def test_from_points_fits_a_translation_by_the_mean():
    target = POINTS + np.array([5, -3])
    found = registration.from_points(POINTS, target, shapes=SHAPES, model="translation")
    np.testing.assert_allclose(found.matrix, [[1, 0, 5], [0, 1, -3], [0, 0, 1]])


def test_from_points_refuses_three_points_only():
    with pytest.raises(UserError, match="3 given: expected 4 or more"):
        registration.from_points(POINTS[:3], POINTS[:3], shapes=SHAPES)


@pytest.mark.parametrize("which", [0, 1])
def test_from_points_refuses_points_on_a_line(which):
    line = np.array([[10, 10], [50, 30], [90, 50], [130, 70.1], [170, 90]])
    sides = [POINTS, POINTS]
    sides[which] = line
    name = ("fixed", "moving")[which]
    with pytest.raises(UserError, match=f"lie on a line in the {name} image"):
        registration.from_points(*sides, shapes=SHAPES)


def test_from_points_refuses_what_no_homography_fits():
    crossed = POINTS[:4][[1, 0, 2, 3]]
    with pytest.raises(UserError, match="no homography fits them"):
        registration.from_points(POINTS[:4], crossed, shapes=SHAPES, model="homography")


def test_from_points_refuses_numbers_that_are_not_finite():
    with pytest.raises(UserError, match="in the moving image is not a finite number"):
        registration.from_points(POINTS, POINTS * np.nan, shapes=SHAPES)


def test_read_points_skips_names_and_empty_rows(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("fixed_x,fixed_y,moving_x,moving_y\n1,2,3,4\n\n5.5,6,7,8\n")
    fixed, moving = registration.read_points(path)
    assert fixed.tolist() == [[1, 2], [5.5, 6]]
    assert moving.tolist() == [[3, 4], [7, 8]]


@pytest.mark.parametrize(
    "text, line",
    [
        ("1,2,3,4\n1,2,3\n", r"row 2 is '1,2,3': expected four numbers"),
        # A slip in the first row makes no names of it.
        ("1,2,3,4o\n1,2,3,4\n", r"row 1 is '1,2,3,4o': expected four numbers"),
        ("x,y,u,v\nx,y,u,v\n", r"row 2 is 'x,y,u,v': expected four numbers"),
    ],
)
def test_read_points_names_the_row_that_is_wrong(tmp_path, text, line):
    path = tmp_path / "points.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=line):
        registration.read_points(path)


def test_read_points_refuses_a_file_that_is_missing_or_no_text(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        registration.read_points(tmp_path / "none.csv")
    path = tmp_path / "points.csv"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match="no text in UTF-8"):
        registration.read_points(path)
