"""Sets of files: reading for the metrics, side by side, tables and CSV."""

import csv
import threading

import numpy as np
import pytest

from densefuse_tf import metrics
from densefuse_tf.errors import UserError
from densefuse_tf.evaluation import evaluation
from densefuse_tf.io import images
from densefuse_tf.io import pixels

SIZE = (46, 50)


def photograph(seed, channels=()):
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, *channels), np.uint8)


@pytest.fixture
def triplets(tmp_path):
    """Infrared, visible and fused files of three pairs."""
    found = []
    for number in range(3):
        paths = [tmp_path / f"{kind}/{number}.png" for kind in ("ir", "vis", "fused")]
        for index, path in enumerate(paths):
            images.write(path, photograph(10 * index + number))
        found.append(tuple(paths))
    return found


def test_reads_colour_as_luma(tmp_path):
    color = photograph(1, (3,))
    images.write(tmp_path / "color.png", color)
    image, colored = evaluation.read_gray(tmp_path / "color.png")
    np.testing.assert_array_equal(image, pixels.gray(color))
    assert colored

    images.write(tmp_path / "rgb.png", np.repeat(color[..., :1], 3, axis=2))
    image, colored = evaluation.read_gray(tmp_path / "rgb.png")
    np.testing.assert_array_equal(image, color[..., 0])
    assert not colored


def test_refuses_16_bits(tmp_path):
    from PIL import Image

    Image.fromarray(photograph(1).astype(np.uint16) * 200).save(tmp_path / "deep.png")
    with pytest.raises(UserError, match=r"deep\.png: has uint16 values: expected an 8"):
        evaluation.read_gray(tmp_path / "deep.png")


def test_evaluates_files_in_order(triplets):
    color = photograph(99, (3,))
    images.write(triplets[1][2], color)
    results = list(evaluation.evaluate_files(triplets, workers=2))
    assert [result.pair for result in results] == ["0", "1", "2"]
    assert [result.colored for result in results] == [(), (triplets[1][2],), ()]
    for number, result in enumerate(results):
        fused = pixels.gray(color) if number == 1 else photograph(20 + number)
        expected = metrics.evaluate(photograph(number), photograph(10 + number), fused)
        assert result.values == expected
        assert tuple(result.values) == evaluation.METRICS


def test_names_that_do_not_tell_apart_become_paths(triplets):
    ir, vis, _ = triplets[0]
    results = list(evaluation.evaluate_files([(ir, vis, ir), (ir, vis, vis)]))
    assert [result.pair for result in results] == [str(ir), str(vis)]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((50, 46), np.uint8), "must have the same size"),
        (np.zeros((9, 9), np.uint8), "same size|at least 44x44"),
    ],
)
def test_an_error_names_the_file(triplets, image, message):
    path = triplets[2][2]
    images.write(path, image)
    with pytest.raises(UserError, match=message) as caught:
        list(evaluation.evaluate_files(triplets))
    assert str(caught.value).startswith(f"{path}: ")


def test_memory_decides_how_many_are_in_work(monkeypatch):
    in_work, most = [], []

    def busy(ir, vis, fused):
        in_work.append(fused.size)
        most.append(sum(in_work))
        threading.Event().wait(0.01)
        in_work.remove(fused.size)
        return {}

    monkeypatch.setattr(metrics, "evaluate", busy)
    evaluate = evaluation.Evaluator(pixels_at_once=250)

    def work(size):
        image = np.zeros((size, 10), np.uint8)
        return evaluate(image, image, image, name="pair")

    list(evaluation.side_by_side(work, [10, 10, 10, 90, 10, 10], workers=6))
    # One that is larger than the limit goes alone; of the others two fit.
    assert max(most) == 900
    assert max(total for total in most if total < 900) <= 250


def test_side_by_side_takes_few_items_ahead_and_keeps_their_order():
    taken, done = [], []

    def items():
        for item in range(50):
            taken.append(item)
            assert len(taken) - len(done) <= 5
            yield item

    for result in evaluation.side_by_side(lambda item: item**2, items(), workers=3):
        done.append(result)
    assert done == [item**2 for item in range(50)]


def test_side_by_side_ends_with_the_first_error():
    def fail(item):
        if item == 2:
            raise UserError("item 2")
        return item

    results = evaluation.side_by_side(fail, range(1000), workers=2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(UserError, match="item 2"):
        next(results)


def results():
    first = dict(
        zip(evaluation.METRICS, (6, 0.5, 1.5, 0.4, 0.3, 0.7, 0.9), strict=True)
    )
    second = {name: value / 3 for name, value in first.items()}
    return [evaluation.Evaluated("VIS1", first), evaluation.Evaluated("a,b", second)]


def test_csv_holds_all_digits_and_the_mean(tmp_path):
    path = tmp_path / "new/metrics.csv"
    evaluation.write_csv(path, results())
    assert path.read_text("utf-8").startswith(
        "pair,En,Qabf,SCD,FMI_w,FMI_dct,SSIM_a,MS_SSIM\nVIS1,"
    )
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["pair"] for row in rows] == ["VIS1", "a,b", "mean"]
    for row, result in zip(rows, results(), strict=False):
        assert {m: float(row[m]) for m in evaluation.METRICS} == result.values
    for metric in evaluation.METRICS:
        both = [float(row[metric]) for row in rows[:2]]
        assert float(rows[2][metric]) == pytest.approx(sum(both) / 2, rel=1e-15)
    assert [entry.name for entry in path.parent.iterdir()] == ["metrics.csv"]


def test_tables_for_people():
    cells = evaluation.table(results())
    assert cells[0] == ["pair", *evaluation.METRICS]
    assert cells[1][:3] == ["VIS1", "6.00000", "0.50000"]
    assert cells[3][:3] == ["mean", "4.00000", "0.33333"]
    lines = evaluation.text(cells).splitlines()
    assert lines[0].split() == cells[0]
    assert len({len(line) for line in lines}) == 1
    markdown = evaluation.markdown(cells).splitlines()
    assert markdown[1] == "|---|" + "---:|" * 7
    assert [len(line.split("|")) for line in markdown] == [10] * 5
