"""docs/serving.md as its readers use it: its Python, run where only TensorFlow is."""

import json
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

from densefuse_tf.commands import export
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import images
from densefuse_tf.serving import export as exporting
from densefuse_tf.serving.settings import ExportSettings

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/serving.md").read_text()
SIZE = (21, 34)


def snippet(language, marker) -> str:
    """The one block of code in the page that contains `marker`."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    (found,) = [block for block in blocks if marker in block]
    return found


@pytest.fixture(scope="module")
def folder(checkpoint, tmp_path_factory):
    """models/densefuse/1, made by export.py, and a pair, ir.png and vis.png, grey."""
    folder = tmp_path_factory.mktemp("serving")
    status = export.run(
        [
            "export.py",
            f"--checkpoint={checkpoint}",
            "--strategy=l1_norm",
            f"--output={folder}/models/densefuse/1",
        ]
    )
    assert status == 0
    generator = np.random.default_rng(0)
    for name in ("ir", "vis"):
        image = generator.integers(0, 256, SIZE, np.uint8)
        images.write(folder / f"{name}.png", image)
        np.save(folder / f"{name}.npy", image[None, :, :, None].astype(np.float32))
    return folder


@pytest.fixture(scope="module")
def expected(folder, checkpoint):
    """What fuse.py makes of the pair."""
    fuser = Fuser(FusionSettings(checkpoint, strategy="l1_norm"))
    return fuser.fuse([images.read(folder / f"{name}.png") for name in ("ir", "vis")])


@pytest.fixture(scope="module")
def ports(folder):
    """Where a server of the export listens: REST and gRPC."""
    command = [sys.executable, ROOT / "tests/stand_in_server.py"]
    with subprocess.Popen(
        [*command, folder / "models/densefuse/1"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        yield [int(port) for port in server.stdout.readline().split()]
        server.stdin.close()


@pytest.fixture
def run_snippet(folder, ports, monkeypatch):
    """Runs Python of the page in `folder`, against the server."""

    def run(marker):
        monkeypatch.chdir(folder)
        (folder / "fused.png").unlink(missing_ok=True)
        code = snippet("python", marker)
        for port, number in zip((8501, 8500), ports, strict=True):
            code = code.replace(f"localhost:{port}", f"127.0.0.1:{number}")
        names = {}
        exec(compile(code, "docs/serving.md", "exec"), names)
        return names

    return run


@pytest.mark.guard
def test_where_the_package_is_not_importable(folder, expected):
    """tf.saved_model.load and saved_model_cli, as the page has them."""
    command = shlex.split(snippet("sh", "saved_model_cli run").replace("\\\n", " "))
    script = f"""
import sys
sys.modules["densefuse_tf"] = None
{snippet("python", "tf.saved_model.load")}
from tensorflow.python.tools import saved_model_cli
sys.argv = {command!r}
saved_model_cli.main()
assert not [name for name in sys.modules if name.startswith("densefuse_tf.")]
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(images.read(folder / "fused.png"), expected.image)
    outputs = {name: np.load(folder / f"out/{name}.npy") for name in ("fused", "raw")}
    np.testing.assert_array_equal(outputs["fused"][0, :, :, 0], expected.image)
    np.testing.assert_array_equal(outputs["raw"][0, :, :, 0], expected.raw)


@pytest.mark.guard
def test_the_rest_client(run_snippet, folder, expected):
    answer = run_snippet("urllib.request")["answer"]
    np.testing.assert_array_equal(images.read(folder / "fused.png"), expected.image)
    # As in the page's example of a request and its answer.
    request = json.loads(snippet("json", "instances"))
    assert request["instances"][0].keys() == {"ir_bytes", "vis_bytes"}
    example = json.loads(snippet("json", "predictions"))
    assert answer.keys() == example.keys()
    assert answer["predictions"][0].keys() == example["predictions"][0].keys()


@pytest.mark.guard
def test_the_grpc_client(run_snippet, folder, expected):
    answer = run_snippet("PredictRequest")["answer"]
    assert list(answer.outputs) == ["fused"]
    np.testing.assert_array_equal(images.read(folder / "fused.png"), expected.image)


@pytest.mark.guard
@pytest.mark.parametrize(
    ("format", "suffix", "runtime"),
    [("litert", ".tflite", "ai_edge_litert"), ("onnx", ".onnx", "onnxruntime")],
)
@pytest.mark.parametrize(
    "strategy",
    ["addition", "l1_norm", "maximum", "choose_max", "detail_softmax"],
)
def test_converted_files_compute_what_fuse_py_does(
    released, tmp_path, monkeypatch, format, suffix, runtime, strategy
):
    pytest.importorskip(runtime)
    monkeypatch.chdir(tmp_path)
    settings = FusionSettings(
        released["1e2"], strategy=strategy, output_range="average"
    )
    exporting.export(settings, f"densefuse{suffix}", ExportSettings(format=format))
    assert [path.name for path in tmp_path.iterdir()] == [f"densefuse{suffix}"]
    fuser = Fuser(settings)
    for shape in ((1, 2, 3), (2, 40, 31), (1, 128, 96)):
        generator = np.random.default_rng(1)
        sources = [generator.integers(0, 256, shape, np.uint8) for _ in range(2)]
        ir, vis = (source[..., None].astype(np.float32) for source in sources)
        names = {"ir": ir, "vis": vis}
        exec(snippet("python", runtime), names)
        fused, raw = names["fused"], names["raw"]
        assert fused.dtype == np.uint8
        assert fused.shape == raw.shape == (*shape, 1)
        for index, pair in enumerate(zip(*sources, strict=True)):
            expected = fuser.fuse(pair)
            np.testing.assert_allclose(raw[index, :, :, 0], expected.raw, atol=0.5)
            difference = fused[index, :, :, 0].astype(int) - expected.image
            assert np.abs(difference).max() <= 1
