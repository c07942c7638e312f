"""The training of the CNN baseline."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from densefuse_tf.baselines import cnn
from densefuse_tf.baselines import cnn_network
from densefuse_tf.baselines import cnn_training
from densefuse_tf.commands import train_cnn
from densefuse_tf.errors import UserError
from densefuse_tf.io import images


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder of three textures and a file that is no image."""
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(0)
    for number in range(3):
        texture = ndimage.gaussian_filter(random.uniform(0, 255, (64, 80)), 0.7)
        Image.fromarray(np.rint(texture).astype(np.uint8)).save(
            folder / f"{number}.png"
        )
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def test_versions_are_blurred_by_a_gaussian_of_7x7_again_and_again():
    photograph = np.random.default_rng(0).integers(256, size=(14, 11), dtype=np.uint8)
    offsets = np.arange(-3, 4)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 2.0**2))
    window /= window.sum()
    expected = photograph.astype(float)
    for version in cnn_training.blurred_versions(photograph, 3):
        padded = np.pad(expected, 3, mode="symmetric")
        for y, x in np.ndindex(*photograph.shape):
            expected[y, x] = (window * padded[y : y + 7, x : x + 7]).sum()
        np.testing.assert_allclose(version, expected, rtol=0, atol=0.501)


def test_patches_are_pairs_of_the_same_place():
    photograph = np.random.default_rng(0).integers(256, size=(30, 20), dtype=np.uint8)
    settings = cnn_training.CnnTrainingSettings(levels=2, patches_per_level=6)
    pairs = cnn_training.sample_patches(photograph, settings, np.random.default_rng(1))
    assert pairs.shape == (12, 2, 16, 16)
    windows = np.lib.stride_tricks.sliding_window_view
    sharp = windows(photograph, (16, 16))
    for level, version in enumerate(cnn_training.blurred_versions(photograph, 2)):
        blurred = windows(version, (16, 16))
        for pair in pairs[6 * level : 6 * level + 6]:
            places = (sharp == pair[0]).all(axis=(2, 3))
            assert places.sum() == 1
            np.testing.assert_array_equal(blurred[places][0], pair[1])


def test_patches_of_one_grey_are_left_out():
    photograph = np.full((40, 40), 90, np.uint8)
    settings = cnn_training.CnnTrainingSettings()
    pairs = cnn_training.sample_patches(photograph, settings, np.random.default_rng(0))
    assert pairs.shape == (0, 2, 16, 16)


def test_the_command_trains_weights_that_tell_sharp_from_blurred(
    tmp_path, photographs, capsys, monkeypatch
):
    path = tmp_path / "cnn.npz"
    fitted, fit = [], cnn_training._fit
    monkeypatch.setattr(
        cnn_training,
        "_fit",
        lambda model, *rest: fitted.append(model) or fit(model, *rest),
    )
    arguments = [
        f"--train_dir={photographs}",
        f"--weights={path}",
        "--iterations=12",
        "--batch_size=16",
        "--learning_rate=0.02",
        "--num_val_photographs=1",
    ]
    assert train_cnn.run(["train_cnn", *arguments]) == 0
    printed, log = capsys.readouterr()
    told = float(printed.partition(": ")[2].partition(" %")[0])
    assert told > 90
    assert "left out" in log
    assert cnn_network.read_weights(path).keys() == cnn_network.SHAPES.keys()
    # The method takes each pixel from the image that was shown as the sharp one.
    sharp = images.read(photographs / "0.png")
    blurred = cnn_training.blurred_versions(sharp, 3)[-1]
    for first, second, share in ((sharp, blurred, 1), (blurred, sharp, 0)):
        _, decisions = cnn.CNN(checkpoint=str(path)).decide(first, second)
        assert decisions.mean() == pytest.approx(share, abs=0.1)
    # The values that the description of the module names.
    sgd = fitted[0].optimizer.get_config()
    assert (sgd["momentum"], sgd["weight_decay"]) == (0.9, 5e-4)
    rates = sgd["learning_rate"]["config"]
    assert rates["boundaries"] == [7, 10]
    assert rates["values"] == pytest.approx([0.02, 0.002, 0.0002])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--train_dir is missing"),
        (["--train_dir=."], "--weights is missing"),
        (["--train_dir=none", "--weights=a.npz"], "none: no such file or folder"),
        (["--weights=a.mat"], "a.mat: weights of the CNN are saved as .npz"),
        (["--weights=a.npz", "--iterations=0"], "iterations is 0: expected 1 or more"),
        (["--weights=a.npz", "--learning_rate=nan"], "learning_rate is nan"),
        (["--weights=a.npz", "--num_val_photographs=9"], "expected more than the 9"),
    ],
)
def test_the_command_refuses_mistakes_in_one_line(
    photographs, capsys, arguments, message
):
    if arguments and "train_dir" not in arguments[0]:
        arguments = [f"--train_dir={photographs}", *arguments]
    assert train_cnn.run(["train_cnn", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_train_refuses_photographs_without_texture(tmp_path):
    for number in range(2):
        Image.new("L", (40, 40), 50).save(tmp_path / f"{number}.png")
    with pytest.raises(UserError, match="no patch of 16x16 pixels with a variance"):
        cnn_training.train(
            sorted(tmp_path.iterdir()),
            cnn_training.CnnTrainingSettings(num_val_photographs=1),
        )
