"""The example images, the notebooks, the README's picture and what makes them."""

import base64
import importlib.util
import io
import pathlib
import re

import nbformat
import numpy as np
import PIL.Image
import pytest
from scipy import ndimage

from densefuse_tf import metrics
from densefuse_tf.commands import runner
from densefuse_tf.io import finding
from densefuse_tf.io import images
from densefuse_tf.io import pixels

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
PAIRS = ("hut.png", "street.png")
TWO_FOCUS = ("left/coffee.png", "right/coffee.png")


def load(name):
    """A script of examples/ as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(module, output, *flags) -> int:
    """Runs a script's command in this process and returns its exit status."""
    argv = [module.__name__, f"--output={output}", *flags]
    return runner.run(module.main, module._FLAGS, module.__doc__, argv)


@pytest.fixture(scope="module")
def hut() -> dict[str, np.ndarray]:
    """The source images of a pair and what the strategies make of them."""
    return load("make_panel").fuse("hut.png")


def sharpness(image: np.ndarray) -> float:
    return float(np.abs(np.diff(pixels.gray(image).astype(np.float64), axis=1)).mean())


def test_the_pairs_match_and_are_small_and_grey():
    pairs = finding.pair([EXAMPLES / "pairs" / "ir", EXAMPLES / "pairs" / "vis"])
    assert tuple(ir.name for ir, _ in pairs) == PAIRS
    for ir, vis in pairs:
        assert ir.name == vis.name
        infrared, visible = images.read(ir), images.read(vis)
        assert infrared.shape == visible.shape and infrared.ndim == 2
        assert infrared.dtype == visible.dtype == np.uint8
    assert sum(path.stat().st_size for pair in pairs for path in pair) < 600_000


@pytest.mark.parametrize("name, number", [("street", 2), ("hut", 13)])
def test_the_pairs_are_the_data_sets_byte_for_byte(shared, name, number):
    for folder, kind in (("ir", "IR"), ("vis", "VIS")):
        ours = EXAMPLES / "pairs" / folder / f"{name}.png"
        assert ours.read_bytes() == (shared / f"tno/{kind}{number}.png").read_bytes()


def test_the_pairs_have_credit_and_terms_beside_them():
    text = " ".join((EXAMPLES / "pairs" / "README.md").read_text().split())
    for words in (
        "TNO, Soesterberg, The Netherlands",
        "TNO Image Fusion Dataset",
        "10.6084/m9.figshare.1008029",
        "can freely be used for research purposes, and may be used in publications "
        "without prior notice, provided proper credit is given to the owner",
        "licence does not cover these images",
        *PAIRS,
    ):
        assert words in text


def test_the_script_makes_the_two_focus_images(tmp_path, capsys):
    assert run(load("make_multifocus"), tmp_path) == 0
    printed_names = capsys.readouterr().out.split()
    assert printed_names == [str(tmp_path / name) for name in TWO_FOCUS]
    for name in TWO_FOCUS:
        shipped = images.read(EXAMPLES / "multifocus" / name).astype(int)
        # Another processor or SciPy may round the last bit of a blur the other way.
        difference = np.abs(images.read(tmp_path / name) - shipped)
        assert difference.max() <= 1 and difference.mean() < 0.01


def test_the_two_focus_images_are_sharp_on_different_sides():
    left, right = (images.read(EXAMPLES / "multifocus" / name) for name in TWO_FOCUS)
    assert pixels.is_color(left) and pixels.is_color(right)
    third = left.shape[1] // 3
    assert sharpness(left[:, :third]) > 2 * sharpness(right[:, :third])
    assert sharpness(right[:, -third:]) > 2 * sharpness(left[:, -third:])


def test_the_readme_names_every_image_and_its_owner():
    text = (EXAMPLES / "README.md").read_text()
    for words in ("TNO Image Fusion Dataset", "Rachel Michetti", "CC0", "scikit-image"):
        assert words in text
    for name in (*PAIRS, *TWO_FOCUS):
        assert name in text


def test_the_script_makes_the_readmes_picture(tmp_path):
    path = tmp_path / "panel.png"
    assert run(load("make_panel"), path) == 0
    made = images.read(path).astype(int)
    stored = EXAMPLES.parent / "docs" / "images" / "panel.png"
    assert stored.stat().st_size < 600_000 and made.shape[1] <= 1300
    # On another processor a pixel may be rounded the other way.
    difference = np.abs(made - images.read(stored))
    assert difference.max() <= 2 and difference.mean() < 0.01


# Run last in the notebook of the tests: what it has computed.
NOSY_CELL = """
import tempfile
np.savez(
    "found.npz",
    **{f"fused/{name}": image for name, image in fused.items()},
    **{f"norm/{name}": np.abs(phi[0].numpy()).sum(-1) for name, phi in maps.items()},
    **{f"initial/{name}": activity for name, activity in initial.items()},
    **{f"averaged/{name}": activity for name, activity in averaged.items()},
    weights=[plane(weight) for weight in weights],
    temporary=tempfile.mkdtemp(),
)
"""
STRATEGIES = ("addition", "l1_norm", "squared_l1_norm")
# The other notebooks, and how many pictures each cell of theirs shows.
OTHERS = {
    "multifocus": {"made": 1, "difference": 1, "weights": 1, "three": 2},
    "exposures": {"made": 1, "fused": 1, "weights": 1},
    "own_strategy": {"pair": 1},
}


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
    """The notebook, executed in an empty folder, and what its arrays were."""
    folder = tmp_path_factory.mktemp("quickstart")
    notebook = nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)
    for cell in code(notebook):
        cell.update(outputs=[], execution_count=None)
    notebook.cells.append(nbformat.v4.new_code_cell(NOSY_CELL, id="nosy"))
    nbformat.write(notebook, folder / "quickstart.ipynb")
    notebook = load("run_notebooks").execute(folder / "quickstart.ipynb", folder)
    assert notebook.cells.pop().id == "nosy"
    with np.load(folder / "found.npz") as found:
        return notebook, dict(found)


@pytest.mark.guard
def test_the_notebook_prints_no_warning(executed):
    for cell in code(executed[0]):
        for output in cell.outputs:
            assert output.get("name") != "stderr"
            assert not re.search(r"\b\w*(Warning|Error)\b", output.get("text", ""))


@pytest.mark.guard
def test_what_the_notebook_leaves_in_the_temporary_folder_goes(executed):
    assert not pathlib.Path(str(executed[1]["temporary"])).exists()


@pytest.mark.guard
def test_the_notebook_shows_equations_5_to_7(executed):
    _, found = executed
    for name in ("infrared", "visible"):
        activity = found[f"norm/{name}"]
        np.testing.assert_allclose(found[f"initial/{name}"], activity, rtol=1e-5)
        block = ndimage.uniform_filter(activity.astype(float), 3)
        inner = np.s_[1:-1, 1:-1]
        averaged = found[f"averaged/{name}"]
        np.testing.assert_allclose(averaged[inner], block[inner], rtol=1e-5)
    first, second = found["averaged/infrared"], found["averaged/visible"]
    np.testing.assert_allclose(found["weights"][0], first / (first + second), rtol=1e-5)
    np.testing.assert_allclose(found["weights"].sum(axis=0), 1, rtol=1e-5)


@pytest.mark.guard
def test_the_notebook_prints_the_metrics(executed, hut):
    notebook, found = executed
    cells = {cell.id: printed(cell) for cell in code(notebook)}
    assert tuple(table(cells["evaluate"])) == STRATEGIES[:2]
    assert tuple(table(cells["own"])) == STRATEGIES[2:]
    (values,) = table(cells["own"]).values()
    image = found["fused/squared_l1_norm"]
    expected = metrics.evaluate(hut["infrared"], hut["visible"], image)
    # Four digits are printed.
    assert values == pytest.approx(expected, abs=5.1e-5)


@pytest.mark.guard
def test_the_notebook_fuses_as_the_commands_do(executed, hut):
    _, found = executed
    for strategy in STRATEGIES[:2]:
        expected = hut[strategy].astype(int)
        difference = np.abs(expected - found[f"fused/{strategy}"])
        assert difference.max() <= 1


@pytest.mark.guard
def test_stored_outputs_are_up_to_date(executed, stored):
    """To be made anew with examples/run_notebooks.py."""
    assert_outputs_are_alike(stored, executed[0])


def assert_outputs_are_alike(stored, executed):
    number = r"\d+\.\d+"
    for old, new in zip(code(stored), code(executed), strict=True):
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


@pytest.mark.parametrize("name", ("quickstart", *OTHERS))
def test_a_stored_notebook_is_small_and_tells_of_no_machine(name):
    path = EXAMPLES / f"{name}.ipynb"
    stored = nbformat.read(path, as_version=4)
    assert path.stat().st_size < 1_000_000
    counts = [cell.execution_count for cell in code(stored)]
    assert counts == list(range(1, len(counts) + 1))
    for cell in stored.cells:
        assert not cell.metadata
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr" and output.output_type != "error"
            assert not re.search(r"(^|\s)/\w", str(output.get("text", "")))
    assert stored.metadata.keys() == {"kernelspec", "language_info"}


@pytest.fixture(scope="module", params=OTHERS)
def other(request, tmp_path_factory):
    """Another notebook's name, as it is stored, and executed in an empty folder."""
    folder = tmp_path_factory.mktemp(request.param)
    path = EXAMPLES / f"{request.param}.ipynb"
    executed = load("run_notebooks").execute(path, folder)
    assert not list(folder.iterdir())
    return request.param, nbformat.read(path, as_version=4), executed


@pytest.mark.guard
def test_another_notebooks_outputs_are_up_to_date(other):
    _, stored, executed = other
    assert_outputs_are_alike(stored, executed)


@pytest.mark.guard
def test_another_notebook_shows_pictures_and_no_warning(other):
    name, _, executed = other
    shown = {cell.id: pictures(cell) for cell in code(executed)}
    assert {cell: len(found) for cell, found in shown.items() if found} == OTHERS[name]
    for found in shown.values():
        for picture in found:
            assert picture.shape[1] > 500 and picture.std() > 20
    for cell in code(executed):
        assert not re.search(r"\b\w*(WARNING|Warning|Error)\b", printed(cell))
        assert not [out for out in cell.outputs if out.get("name") == "stderr"]


def figures(cell) -> dict[str, list[float]]:
    """The numbers that a cell has printed, by the name before them."""
    lines = (re.split(r"\s+(?=\d)", line) for line in printed(cell).splitlines())
    return {
        name: [float(value.split()[0]) for value in values] for name, *values in lines
    }


@pytest.mark.guard
def test_the_notebooks_show_what_they_say(other):
    name, _, executed = other
    cells = {cell.id: cell for cell in code(executed)}
    if name == "multifocus":
        for cell in ("fused", "three"):
            psnr = figures(cells[cell])
            assert psnr["detail_choose_max"][0] > psnr["l1_norm"][0] + 10
    elif name == "exposures":
        score = {
            line[:24].strip(): float(line.split()[-1])
            for cell in ("metric", "fused")
            for line in printed(cells[cell]).splitlines()
        }
        single = max(value for line, value in score.items() if "stops" in line)
        assert score["detail_softmax, r = 32"] > single + 0.02
    else:
        psnr = figures(cells["compare"])
        assert psnr["gradient"][0] > psnr["l1_norm"][0] + 5
        assert psnr["gradient"][1] > psnr["l1_norm"][1]
        assert figures(cells["export"]) == {"largest difference:": [0]}
