"""What all tests share."""

import functools
import importlib.util
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest
import pytorch_files

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser):
    parser.addoption(
        "--guards",
        action="store_true",
        help="run the tests that are marked as guards, too: some minutes together",
    )
    parser.addoption(
        "--long",
        action="store_true",
        help="run the guards, too; damage more files, kill more runs, all of Table II: "
        "minutes each",
    )


def pytest_collection_modifyitems(config, items):
    """Leaves out the guards, which take long, unless they are asked for."""
    if config.getoption("--guards") or config.getoption("--long"):
        return
    guards = [item for item in items if item.get_closest_marker("guard")]
    if guards:
        config.hook.pytest_deselected(items=guards)
        items[:] = [item for item in items if not item.get_closest_marker("guard")]


@pytest.fixture(scope="session", autouse=True)
def temporary_folder(tmp_path_factory):
    """Gives the tests, and what they start, a temporary folder that goes at the end.

    Clients of Gradio, Chromium and Dask leave files in theirs.
    """
    # What pytest keeps of failed tests stays where it always is.
    tmp_path_factory.getbasetemp()
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(scope="session")
def long(request) -> bool:
    """Whether to make many random trials, and to run the tests that take minutes."""
    return request.config.getoption("--long")


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder ../shared beside the checkout; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (TNO pairs, the release's checkpoints), not here")
    return SHARED


@pytest.fixture(scope="session")
def released(shared) -> dict[str, str]:
    """The prefixes of the release's checkpoints by short name."""
    folder = shared / "released_checkpoints"
    return {
        name: str(folder / f"densefuse_model_bs2_epoch4_all_weight_{name}.ckpt")
        for name in ("1e0", "1e1", "1e2", "1e3")
    }


@pytest.fixture
def pytorch(monkeypatch) -> None:
    """Reads files of PyTorch, with a stand-in where it is not installed."""
    if importlib.util.find_spec("torch") is None:
        monkeypatch.setitem(sys.modules, "torch", pytorch_files.module())


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> pathlib.Path:
    """A .keras file of an untrained autoencoder, always the same."""
    import keras

    from densefuse_tf.io import weights
    from densefuse_tf.model import network

    keras.utils.set_random_seed(1)
    path = tmp_path_factory.mktemp("checkpoint") / "untrained.keras"
    weights.save(network.autoencoder(), path, network.autoencoder)
    return path


@pytest.fixture(scope="module")
def fusers(checkpoint):
    """Returns the `Fuser` of the untrained checkpoint and some settings, built once."""
    from densefuse_tf.fusion.fuser import Fuser
    from densefuse_tf.fusion.settings import FusionSettings

    @functools.cache
    def get(strategy="addition", **settings):
        return Fuser(FusionSettings(checkpoint, strategy=strategy, **settings))

    return get


@pytest.fixture(scope="session")
def untrained_deepfuse(tmp_path_factory):
    """A .keras file of DeepFuse's autoencoder, untrained, and the autoencoder."""
    import keras

    from densefuse_tf.model import deepfuse

    keras.utils.set_random_seed(1)
    model = deepfuse.autoencoder()
    path = tmp_path_factory.mktemp("deepfuse") / "untrained.keras"
    model.save(path)
    return path, model


_TRAINERS: dict = {}


@pytest.fixture(scope="module")
def traced_once():
    """Gives runs that train alike one Trainer, as new, so that it is traced once."""
    from densefuse_tf.training import run
    from densefuse_tf.training.trainer import Trainer

    def trainer(settings, strategy):
        names = ("network", "learning_rate", "seed", "mixed_precision", "xla")
        key = (
            settings.weighted_recipe,
            *(getattr(settings, name) for name in names),
        )
        if key not in _TRAINERS:
            new = Trainer(settings, strategy)
            _TRAINERS[key] = new, [v.value.numpy() for v in new.variables]
        known, values = _TRAINERS[key]
        for variable, value in zip(known.variables, values, strict=True):
            variable.assign(value)
        return known

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "Trainer", trainer)
        yield


@pytest.fixture
def own_strategies(monkeypatch) -> None:
    """Ends the registrations of fusion strategies with the test that makes them."""
    from densefuse_tf.model import strategies

    monkeypatch.setattr(strategies, "_STRATEGIES", dict(strategies._STRATEGIES))


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system of its own: `small_disk(kilobytes)` gives its folder.

    `small_disk.change(option)` mounts it anew with another option, "ro" for one that
    cannot be written or "size=100k"; what is on it stays. The test skips where mounting
    is not allowed.
    """
    folder = tmp_path / "disk"

    def mount(options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True).returncode == 0

    def disk(kilobytes: int) -> pathlib.Path:
        folder.mkdir()
        if shutil.which("mount") is None or not mount(f"size={kilobytes}k"):
            pytest.skip("needs the right to mount a small tmpfs")
        return folder

    disk.change = lambda option: mount(f"remount,{option}")
    yield disk
    if folder.is_mount():
        # Lazily: a failed run's log files may wait for the garbage collector.
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def put(tmp_path):
    """Writes bytes into a file and returns its path."""

    def write(data: bytes, name: str = "image.png") -> pathlib.Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write
