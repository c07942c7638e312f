"""The figures drawn from histories, and the command that does it."""

import numpy as np
import pytest
from PIL import Image

from densefuse_tf.commands import curves as command
from densefuse_tf.errors import UserError
from densefuse_tf.training import curves
from densefuse_tf.training import history

ROWS = [
    history.Row(100 * i, 90.5 / i, 0.5 / i, 140.25 / i, 80.0 / i, 1 - 0.1 / i)
    for i in range(1, 6)
]


def test_the_command_draws_both_figures(tmp_path, capsys):
    for name in ("1e0", "1e2"):
        history.write(ROWS, tmp_path / f"{name}.csv")
    status = command.run(
        [
            "curves",
            f"--history=1e0={tmp_path / '1e0.csv'}",
            f"--history=1e2={tmp_path / '1e2.csv'}",
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


def test_a_history_that_starts_too_late_is_refused(tmp_path):
    with pytest.raises(UserError, match="no point up to iteration 50"):
        curves.draw(
            {"1e0": ROWS}, curves.FIGURE_5, tmp_path / "f.png", last_iteration=50
        )
    assert not (tmp_path / "f.png").exists()


@pytest.mark.parametrize("value", ["nothing", "=file", "name="])
def test_a_history_needs_a_name_and_a_file(tmp_path, capsys, value):
    arguments = ["curves", f"--history={value}", f"--output_dir={tmp_path}"]
    assert command.run(arguments) == 2
    assert "expected NAME=FILE" in capsys.readouterr().err
