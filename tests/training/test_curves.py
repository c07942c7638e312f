"""The figures drawn from histories, and the command that draws them."""

import json

import numpy as np
import pytest
from PIL import Image

from densefuse_tf.commands import curves as command
from densefuse_tf.errors import UserError
from densefuse_tf.training import curves
from densefuse_tf.training import folder
from tests.training.conftest import COLUMNS
from tests.training.conftest import ROWS


def run_folder(where, ssim_weight):
    """The history of a run whose lambda is in config.json."""
    folder.write_history(where / "history.csv", COLUMNS, ROWS)
    config = {"settings": {"ssim_weight": ssim_weight}}
    config |= {"num_train_images": 1, "num_val_images": 1}
    (where / "config.json").write_text(json.dumps(config))
    return where / "history.csv"


def test_command_draws_both_figures(tmp_path, capsys):
    folder.write_history(tmp_path / "1e0.csv", COLUMNS, ROWS)
    path = run_folder(tmp_path / "run", 100.0)
    status = command.run(
        [
            "curves",
            f"--history=1e0={tmp_path / '1e0.csv'}",
            f"--history={path}",
            f"--output_dir={tmp_path / 'figures'}",
        ]
    )
    assert status == 0
    paths = [tmp_path / "figures" / name for name in ("figure5.png", "figure6.png")]
    assert capsys.readouterr().out.splitlines() == list(map(str, paths))
    for path in paths:
        picture = np.asarray(Image.open(path).convert("RGB"))
        # More than two curves' worth of colours on white.
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 4


def test_a_history_of_one_point_shows_it(tmp_path):
    curves.draw({"λ = 100": ROWS[:1]}, tmp_path / "figure.png")
    picture = np.asarray(Image.open(tmp_path / "figure.png").convert("RGB"))
    panels = picture[:, : int(0.9 * picture.shape[1])]  # The legend is at the right.
    assert (panels == (31, 119, 180)).all(axis=-1).sum() > 50


@pytest.mark.parametrize(
    ("ssim_weight", "name", "label"),
    [
        (100.0, None, "λ = 100"),
        (100.0, "1e2", "λ = 1e2"),
        (10.0, "1e2", "1e2, λ = 10"),
        (10.0, "release", "release, λ = 10"),
        (None, "1e2", "λ = 1e2"),
        (None, "release", "release"),
    ],
)
def test_legend_shows_the_lambda_of_the_run(tmp_path, ssim_weight, name, label):
    path = tmp_path / "history.csv"
    if ssim_weight is not None:
        path = run_folder(tmp_path, ssim_weight)
    assert curves.label(path, name) == label


def test_history_that_starts_too_late_is_refused(tmp_path):
    with pytest.raises(UserError, match="no point up to iteration 50"):
        curves.draw({"1e0": ROWS}, tmp_path / "f.png", last_iteration=50)
    assert not (tmp_path / "f.png").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["=file"], "expected FILE or NAME=FILE"),
        (["name="], "expected FILE or NAME=FILE"),
        (["{}/1e0.csv"], "has no config.json beside it that tells lambda"),
        (["a={}/1e0.csv", "a={}/1e0.csv"], "another curve is called 'a' as well"),
    ],
)
def test_each_curve_needs_a_file_and_a_name(tmp_path, capsys, values, message):
    folder.write_history(tmp_path / "1e0.csv", COLUMNS, ROWS)
    given = [f"--history={value.format(tmp_path)}" for value in values]
    assert command.run(["curves", *given, f"--output_dir={tmp_path}"]) == 2
    assert message in capsys.readouterr().err
