"""Sets of files: reading for the metrics, and evaluating side by side."""

import weakref

import numpy as np
import pytest
from PIL import Image

from densefuse_tf import metrics
from densefuse_tf.errors import UserError
from densefuse_tf.evaluation import scoring
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.metrics._evaluate import TABLE_2


@pytest.fixture
def triplets(tmp_path, photograph):
    """Infrared, visible and fused files of three pairs."""
    found = []
    for number in range(3):
        paths = [tmp_path / f"{kind}/{number}.png" for kind in ("ir", "vis", "fused")]
        for index, path in enumerate(paths):
            images.write(path, photograph(10 * index + number))
        found.append(tuple(paths))
    return found


def test_colour_is_read_as_luma(tmp_path, photograph):
    color = photograph(1, (3,))
    images.write(tmp_path / "color.png", color)
    image, colored = scoring.read_gray(tmp_path / "color.png")
    np.testing.assert_array_equal(image, pixels.gray(color))
    assert colored

    images.write(tmp_path / "rgb.png", np.repeat(color[..., :1], 3, axis=2))
    image, colored = scoring.read_gray(tmp_path / "rgb.png")
    np.testing.assert_array_equal(image, color[..., 0])
    assert not colored


def test_16_bits_need_a_range(tmp_path, photograph):
    deep = photograph(1).astype(np.uint16) * 200
    path = tmp_path / "deep.png"
    Image.fromarray(deep).save(path)
    with pytest.raises(UserError, match=r"deep\.png: has uint16 values: expected an 8"):
        scoring.read_gray(path)
    image = scoring.read_8_bits(path, (0.0, 51000.0))
    np.testing.assert_array_equal(image, photograph(1))


def test_sources_of_16_bits_name_the_flag_of_their_range(tmp_path, photograph):
    paths = [tmp_path / name for name in ("ir.png", "vis.png", "fused.png")]
    for index, flag in enumerate((", or --ir_range", ", or --vis_range", "")):
        for other, path in enumerate(paths):
            image = photograph(1)
            Image.fromarray(
                image.astype(np.uint16) * 9 if other == index else image
            ).save(path)
        with pytest.raises(
            UserError, match=f"which the metrics are defined for{flag}$"
        ):
            list(scoring.evaluate_files([tuple(paths)]))


def test_files_are_evaluated_in_order(triplets, photograph):
    color = photograph(99, (3,))
    images.write(triplets[1][2], color)
    results = list(scoring.evaluate_files(triplets, workers=2))
    assert [result.pair for result in results] == ["0", "1", "2"]
    assert [result.colored for result in results] == [(), (triplets[1][2],), ()]
    for number, result in enumerate(results):
        fused = pixels.gray(color) if number == 1 else photograph(20 + number)
        expected = metrics.evaluate(photograph(number), photograph(10 + number), fused)
        assert result.values == expected
        assert tuple(result.values) == TABLE_2


def test_names_that_are_not_unique_become_paths(triplets):
    ir, vis, _ = triplets[0]
    results = list(scoring.evaluate_files([(ir, vis, ir), (ir, vis, vis)]))
    assert [result.pair for result in results] == [str(ir), str(vis)]


@pytest.mark.parametrize(
    ("shape", "message"),
    [((50, 46), "must have the same size"), ((9, 9), "same size|at least 44x44")],
)
def test_error_names_the_file(triplets, shape, message):
    path = triplets[2][2]
    images.write(path, np.zeros(shape, np.uint8))
    with pytest.raises(UserError, match=message) as caught:
        list(scoring.evaluate_files(triplets))
    assert str(caught.value).startswith(f"{path}: ")


def test_mean_leaves_undefined_values_out():
    rows = [dict.fromkeys(TABLE_2, value) for value in (1.0, 2.0)]
    rows[1]["SCD"] = float("nan")
    means = scoring.mean(rows)
    assert means["En"] == 1.5 and means["SCD"] == 1.0
    assert np.isnan(scoring.average([float("nan")]))
    # A mean, and no median.
    assert scoring.average([1, 2, 6]) == 3


class Frame(np.ndarray):
    """An array that a weak reference may point to."""


def test_few_frames_are_held_at_a_time(photograph):
    alive, most = [], 0

    def moments():
        nonlocal most
        for _ in range(40):
            # It has more than 8 bits, so that what is evaluated is a copy.
            frame = photograph(1).astype(np.float32).view(Frame)
            alive.append(weakref.ref(frame))
            most = max(most, sum(each() is not None for each in alive))
            yield frame, frame, frame

    found = scoring.evaluate_frames(
        moments(), [], name=str, workers=2, selection="SD", convention="intended"
    )
    assert len(list(found)) == 40
    assert most <= 4


@pytest.mark.parametrize("convention", ["intended", "vifb"])
def test_frames_in_colour_stay_so_for_vifb_alone(photograph, convention):
    frames = photograph(1), photograph(2, (3,)), photograph(3, (3,))
    (result,) = scoring.evaluate_frames(
        [frames],
        [*"abc"],
        name=str,
        selection="MI,SD",
        convention=convention,
    )
    taken = frames if convention == "vifb" else map(pixels.gray, frames)
    assert result.values == metrics.evaluate(
        *taken, metrics="MI,SD", convention=convention
    )
    assert result.colored == (() if convention == "vifb" else ("b", "c"))
