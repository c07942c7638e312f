"""The example pairs that ship with the project, and the script that makes them."""

import importlib.util
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from densefuse_tf import images

pytest.importorskip("skimage", reason="the photographs are scikit-image's")

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
NAMES = ["ir/camera.png", "ir/coffee.png", "vis/camera.png", "vis/coffee.png"]


@pytest.fixture(scope="module")
def make_pairs():
    spec = importlib.util.spec_from_file_location(
        "make_pairs", EXAMPLES / "make_pairs.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def shipped() -> dict[str, np.ndarray]:
    return {name: images.read(EXAMPLES / "pairs" / name) for name in NAMES}


def sharpness(image: np.ndarray) -> float:
    return float(np.abs(np.diff(images.gray(image).astype(np.float64), axis=1)).mean())


def test_the_pairs_are_small_and_match():
    pairs = images.pair([EXAMPLES / "pairs" / "ir", EXAMPLES / "pairs" / "vis"])
    assert [ir.name for ir, _ in pairs] == ["camera.png", "coffee.png"]
    for ir, vis in pairs:
        assert ir.name == vis.name
        assert images.read(ir).shape == images.read(vis).shape
        assert max(images.read(ir).shape) <= 400
    assert sum(path.stat().st_size for pair in pairs for path in pair) < 600_000


def test_the_script_makes_what_is_shipped(tmp_path, shipped):
    """Twice in processes of their own: the same bytes. And the shipped pixels."""
    made = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        command = [
            sys.executable,
            str(EXAMPLES / "make_pairs.py"),
            f"--output={folder}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        assert sorted(done.stdout.split()) == [str(folder / name) for name in NAMES]
        made.append({name: (folder / name).read_bytes() for name in NAMES})
        found = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))
        assert found == NAMES
    assert made[0] == made[1]
    for name in NAMES:
        again = images.read(tmp_path / "a" / name).astype(int)
        # Another processor or SciPy may round the last bit of a blur the other way.
        difference = np.abs(again - shipped[name])
        assert difference.max() <= 1 and difference.mean() < 0.01


def test_the_two_focus_pair_is_sharp_on_different_sides(shipped):
    left, right = shipped["ir/coffee.png"], shipped["vis/coffee.png"]
    assert images.is_color(left) and images.is_color(right)
    third = left.shape[1] // 3
    assert sharpness(left[:, :third]) > 2 * sharpness(right[:, :third])
    assert sharpness(right[:, -third:]) > 2 * sharpness(left[:, -third:])


def test_two_focus_keeps_a_constant_image(make_pairs):
    image = np.full((20, 30, 3), 77, np.uint8)
    for made in make_pairs.two_focus(image):
        np.testing.assert_array_equal(made, image)


def test_the_man_is_dark_in_visible_and_warm_in_infrared(shipped):
    infrared, visible = shipped["ir/camera.png"], shipped["vis/camera.png"]
    assert infrared.ndim == visible.ndim == 2
    size = len(infrared)
    coat = np.s_[size // 2 : size * 3 // 5, size // 10 : size // 4]
    sky = np.s_[: size // 8, -size // 4 :]
    assert visible[coat].mean() < 20 < 60 < visible[sky].mean()
    assert infrared[coat].mean() > 130 > 60 > infrared[sky].mean()
    # Little light, as said.
    assert visible.mean() < 80


def test_low_light_is_dark_and_noisy(make_pairs):
    photo = np.full((200, 200), 255, np.uint8)
    made = make_pairs.low_light(photo, np.random.default_rng(0))
    # An eighth of the light, after the gamma of 2.2.
    assert abs(made.mean() - 255 / 8 ** (1 / 2.2)) < 1
    assert 1 < made.std() < 10


def test_the_readme_names_photographers_and_licences():
    text = (EXAMPLES / "README.md").read_text()
    for word in ("Lav Varshney", "Rachel Michetti", "CC0", "synthetic", "scikit-image"):
        assert word in text
    for name in {pathlib.Path(name).name for name in NAMES}:
        assert name in text
