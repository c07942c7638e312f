"""history.csv, written and read."""

import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.training import folder
from tests.training.conftest import COLUMNS
from tests.training.conftest import ROWS


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "history.csv"
    folder.write_history(path, COLUMNS, ROWS)
    assert folder.read_history(path) == ROWS
    assert path.read_text().splitlines()[0] == (
        "iteration,pixel_loss,ssim_loss,total_loss,val_pixel_loss,val_ssim"
    )


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", None, "a broken number"])
def test_what_is_no_history_is_refused(tmp_path, text):
    path = tmp_path / "history.csv"
    if text == "a broken number":
        folder.write_history(path, COLUMNS, ROWS)
        text = path.read_text().replace("200,", "two hundred,")
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=r"history\.csv"):
        folder.read_history(path)


@pytest.mark.parametrize(
    "text",
    [
        '{"settings": {}, "num_train_images": 1e999, "num_val_images": 1}',
        "[" * 100_000,
        '{"settings": [1], "num_train_images": 1, "num_val_images": 1}',
        "[1, 2]",
        "\ufeff\0",
    ],
)
def test_what_is_no_configuration_is_one_line(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match="json: cannot be read as the configuration"):
        folder.read_config(tmp_path)
