"""The example pairs, the notebook, and the scripts that make their contents."""

import base64
import importlib.util
import io
import pathlib
import re
import shutil
import subprocess
import sys

import nbformat
import numpy as np
import PIL.Image
import pytest
from scipy import ndimage

import densefuse_tf
from densefuse_tf import metrics
from densefuse_tf.commands import runner
from densefuse_tf.io import images
from densefuse_tf.io import pixels

pytest.importorskip("skimage", reason="the photographs are scikit-image's")

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
NAMES = ["ir/camera.png", "ir/coffee.png", "vis/camera.png", "vis/coffee.png"]


def load(name):
    """A script of examples/ as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def make_pairs():
    return load("make_pairs")


@pytest.fixture(scope="module")
def shipped() -> dict[str, np.ndarray]:
    return {name: images.read(EXAMPLES / "pairs" / name) for name in NAMES}


def sharpness(image: np.ndarray) -> float:
    return float(np.abs(np.diff(pixels.gray(image).astype(np.float64), axis=1)).mean())


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
    assert pixels.is_color(left) and pixels.is_color(right)
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


# Run last in the notebook of the tests: what it has computed, and where.
NOSY_CELL = """
import sys
import IPython.paths

np.savez(
    "found.npz",
    **{f"fused/{name}": image for name, image in fused.items()},
    **{f"maps/{name}": phi for name, phi in maps.items()},
    **{f"initial/{name}": activity for name, activity in initial.items()},
    **{f"averaged/{name}": activity for name, activity in averaged.items()},
    weights=[plane(weight) for weight in weights],
    python=sys.executable,
    package=densefuse_tf.__file__,
    ipython_folder=IPython.paths.get_ipython_dir(),
)
"""
STRATEGIES = ("addition", "l1_norm", "squared_l1_norm")


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell) -> str:
    return "".join(out.text for out in cell.outputs if out.get("name") == "stdout")


def pictures(cell) -> list[np.ndarray]:
    return [
        np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(out.data["image/jpeg"]))))
        for out in cell.outputs
        if out.output_type == "display_data"
    ]


def thumbnail(picture: np.ndarray) -> np.ndarray:
    small = PIL.Image.fromarray(picture).resize((24, 24), PIL.Image.Resampling.BOX)
    return np.asarray(small, float)


def table(text: str) -> dict[str, dict[str, float]]:
    """The metrics that a cell has printed, by strategy."""
    names, *rows = (line.split() for line in text.splitlines())
    return {
        strategy: dict(zip(names, map(float, values), strict=True))
        for strategy, *values in rows
    }


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook, executed in a copy of examples/, and what its arrays were."""
    folder = tmp_path_factory.mktemp("clone") / "examples"
    shutil.copytree(EXAMPLES / "pairs", folder / "pairs")
    notebook = nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)
    for cell in code(notebook):
        cell.update(outputs=[], execution_count=None)
    notebook.cells.append(nbformat.v4.new_code_cell(NOSY_CELL, id="nosy"))
    nbformat.write(notebook, folder / "quickstart.ipynb")
    notebook = load("run_quickstart").execute(folder / "quickstart.ipynb", folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "found.npz",
        "pairs",
        "quickstart.ipynb",
    ]
    assert notebook.cells.pop().id == "nosy"
    with np.load(folder / "found.npz") as found:
        return notebook, dict(found)


def test_the_notebook_runs_in_this_python_alone(executed):
    _, found = executed
    assert str(found["python"]) == sys.executable
    assert str(found["package"]) == densefuse_tf.__file__
    # Gone with what IPython may have written there.
    assert not pathlib.Path(str(found["ipython_folder"])).exists()


def test_the_notebook_prints_no_warning(executed):
    for cell in code(executed[0]):
        for output in cell.outputs:
            assert not re.search(r"\b\w*(Warning|Error)\b", output.get("text", ""))


def test_the_notebook_shows_pictures(executed):
    shown = {cell.id: pictures(cell) for cell in code(executed[0])}
    assert [name for name, found in shown.items() for _ in found] == [
        "show",
        "fused",
        "maps",
        "initial",
        "detail",
        "weights",
        "own",
        "colour",
    ]
    for name, found in shown.items():
        for picture in found:
            height, width, _ = picture.shape
            assert 200 < height < 800 and 500 < width < 1000, name
            # None is blank, and those without a colour map are grey.
            assert picture.std() > 20, name
            colours = np.ptp(picture.astype(int), axis=2).max()
            assert (colours > 60) == (name in ("initial", "weights", "colour")), name


def test_the_notebook_shows_equations_5_to_7(executed):
    _, found = executed
    for name in ("infrared", "visible"):
        activity = np.abs(found[f"maps/{name}"][0]).sum(axis=-1)
        np.testing.assert_allclose(found[f"initial/{name}"], activity, rtol=1e-5)
        block = ndimage.uniform_filter(activity.astype(float), 3)
        inner = np.s_[1:-1, 1:-1]
        averaged = found[f"averaged/{name}"]
        np.testing.assert_allclose(averaged[inner], block[inner], rtol=1e-5)
    first, second = found["averaged/infrared"], found["averaged/visible"]
    np.testing.assert_allclose(found["weights"][0], first / (first + second), rtol=1e-5)
    np.testing.assert_allclose(found["weights"].sum(axis=0), 1, rtol=1e-5)


def test_the_notebook_prints_the_metrics(executed, shipped):
    notebook, found = executed
    cells = {cell.id: printed(cell) for cell in code(notebook)}
    assert tuple(table(cells["evaluate"])) == STRATEGIES[:2]
    assert tuple(table(cells["own"])) == STRATEGIES
    sources = shipped["ir/camera.png"], shipped["vis/camera.png"]
    for strategy, values in (table(cells["own"]) | table(cells["evaluate"])).items():
        expected = metrics.evaluate(*sources, found[f"fused/{strategy}"])
        # Four digits are printed.
        assert values == pytest.approx(expected, abs=5.1e-5)


def test_the_notebook_fuses_as_the_commands_do(executed, shipped):
    _, found = executed
    sources = [shipped["ir/camera.png"], shipped["vis/camera.png"]]
    for strategy in ("addition", "l1_norm"):
        fused = densefuse_tf.fuse(sources, "1e2", strategy=strategy)
        difference = np.abs(fused.astype(int) - found[f"fused/{strategy}"])
        assert difference.max() <= 1


def test_stored_outputs_are_up_to_date(executed, stored):
    """To be made anew with examples/run_quickstart.py."""
    number = r"\d+\.\d+"
    for old, new in zip(code(stored), code(executed[0]), strict=True):
        assert old.id == new.id
        assert re.sub(number, "x", printed(old)) == re.sub(number, "x", printed(new))
        # On another processor a pixel may be rounded the other way.
        was, now = (
            [float(value) for value in re.findall(number, printed(cell))]
            for cell in (old, new)
        )
        assert was == pytest.approx(now, abs=5e-3)
        for was, now in zip(pictures(old), pictures(new), strict=True):
            # Another Matplotlib may place a title a pixel further up.
            assert np.abs(np.subtract(was.shape, now.shape)).max() <= 10
            assert np.abs(thumbnail(was) - thumbnail(now)).mean() < 5


def test_the_stored_notebook_is_small_and_tells_of_no_machine(stored):
    path = EXAMPLES / "quickstart.ipynb"
    assert path.stat().st_size < 1_000_000
    counts = [cell.execution_count for cell in code(stored)]
    assert counts == list(range(1, len(counts) + 1))
    for cell in stored.cells:
        assert not cell.metadata
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr" and output.output_type != "error"
            assert not re.search(r"(^|\s)/\w", str(output.get("text", "")))
    assert stored.metadata.keys() == {"kernelspec", "language_info"}


def test_the_script_writes_what_is_stored(executed, stored, tmp_path, monkeypatch):
    module = load("run_quickstart")
    monkeypatch.setattr(module, "execute", lambda path, folder: executed[0])
    path = tmp_path / "quickstart.ipynb"
    status = runner.run(
        module.main, module._FLAGS, module.__doc__, ["run", f"--output={path}"]
    )
    assert status == 0
    written = nbformat.read(path, as_version=4)
    assert written.metadata == stored.metadata
    for ours, theirs in zip(written.cells, stored.cells, strict=True):
        assert ours.source == theirs.source and ours.id == theirs.id
        kinds = [
            [out.output_type for out in c.get("outputs", [])] for c in (ours, theirs)
        ]
        assert kinds[0] == kinds[1]
        assert all(out.get("name") != "stderr" for out in ours.get("outputs", []))


@pytest.mark.parametrize("folder", (".", "examples", "examples/pairs/ir"))
def test_the_notebook_finds_the_pairs_from(
    folder, stored, shipped, monkeypatch, capsys
):
    monkeypatch.chdir(EXAMPLES.parent / folder)
    (cell,) = (cell for cell in stored.cells if cell.id == "read")
    names = {"pathlib": pathlib, "images": images}
    exec(cell.source, names)
    np.testing.assert_array_equal(names["visible"], shipped["vis/camera.png"])
    assert capsys.readouterr().out == printed(cell)
