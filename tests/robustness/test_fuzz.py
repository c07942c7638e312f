"""Damaged and hostile inputs: each gives a result or one line, and takes little.

A child process tries them, so that one that ends the interpreter, hangs or fills the
memory is told and kept. `--long` tries several thousand, always the same ones.
"""

import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import mutations
import numpy as np
import pytest
import tensor_bundles

HERE = pathlib.Path(__file__).resolve().parent
if not pathlib.Path("/proc/self/status").exists():
    pytest.skip("measures memory as Linux tells it", allow_module_level=True)

# In use by the process at any time, TensorFlow's own half gigabyte included.
MAX_BYTES = 2_000_000_000
# Of computing; of waiting for a machine that is busy, as well.
MAX_CPU_SECONDS = 60
MAX_SECONDS = 600
MAX_PIXELS = 20_000_000
# Of a video, of which ffmpeg holds many frames.
MAX_FRAME_PIXELS = 2_000_000


class Child:
    """tests/robustness/fuzz_child.py, asked one input after the other."""

    def __init__(self, folder: pathlib.Path, *arguments: str):
        self._errors = folder / "stderr"
        with open(self._errors, "wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "fuzz_child.py"), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ
                | {"PYTHONPATH": str(HERE.parents[1]), "TF_CPP_MIN_LOG_LEVEL": "3"},
            )
        self.ends = {"result": 0, "refused": 0}
        self.peak = self._answer("the start")["peak"]

    def ask(self, **request) -> str:
        """What is said of an input; fails if that is none of the two right ends."""
        line = json.dumps(request)
        if self._process.poll() is not None:
            pytest.skip("an earlier input has ended the process")
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        answer = self._answer(line)
        self.peak = max(self.peak, answer["peak"])
        assert answer["end"] in self.ends, f"{line}: {answer['end']}: {answer['text']}"
        assert self.peak < MAX_BYTES, f"{line}: {self.peak / 1e6:.0f} MB"
        self.ends[answer["end"]] += 1
        return answer["text"]

    def _answer(self, what: str):
        limit = time.monotonic() + MAX_SECONDS
        cpu_limit = self._cpu_seconds() + MAX_CPU_SECONDS
        line = b""
        while not line.endswith(b"\n"):
            if select.select([self._process.stdout], [], [], 0.05)[0]:
                more = os.read(self._process.stdout.fileno(), 1 << 16)
                if not more:
                    self._process.wait()
                    pytest.fail(f"{what}: the process ended: {self._ending()}")
                line += more
                continue
            if time.monotonic() > limit or self._cpu_seconds() > cpu_limit:
                self.close()
                pytest.fail(f"{what}: no answer")
            if self._memory() > 1.5 * MAX_BYTES:
                self.close()
                pytest.fail(f"{what}: takes more than {MAX_BYTES / 1e6:.0f} MB")
        return json.loads(line)

    def _ending(self) -> str:
        printed = self._errors.read_text(errors="replace")
        return f"{self._process.returncode}\n{printed[-2000:]}"

    def _cpu_seconds(self) -> float:
        """Of the process, the ffmpegs it has started and those that have ended."""
        ticks = sum(int(time) for stat in self._stats() for time in stat[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")

    def _memory(self) -> int:
        pages = sum(int(stat[21]) for stat in self._stats())
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _stats(self) -> list[list[str]]:
        """What /proc says of the process and its children, after their names."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                stat = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if str(self._process.pid) in (path.parent.name, stat[1]):
                found.append([*stat, path.parent.name])
        return found

    def printed(self) -> str:
        return self._errors.read_text(errors="replace")

    def close(self) -> None:
        for stat in self._stats():
            os.kill(int(stat[-1]), signal.SIGKILL)
        self._process.communicate()


@contextlib.contextmanager
def trying(what: str, folder: pathlib.Path, *arguments: str) -> Iterator[Child]:
    """A child for the tests of a module, and at the end what became of its inputs."""
    child = Child(folder, *arguments)
    yield child
    child.close()
    print(f"{what}: {child.ends}, {child.peak / 1e6:.0f} MB")


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Tries images and pairing; the libraries below say nothing of their own."""
    with trying("images", tmp_path_factory.mktemp("reader")) as child:
        yield child
    assert child.printed() == ""


@pytest.fixture(scope="module")
def models(tmp_path_factory, checkpoint):
    """Tries checkpoints and the signature fuse_encoded."""
    from densefuse_tf.serving import serving

    folder = tmp_path_factory.mktemp("models")
    serving.export(checkpoint, folder / "1", max_pixels=1_000_000)
    with trying("models", folder, str(folder / "1")) as child:
        yield child


@pytest.fixture
def put(tmp_path):
    """Writes an input; the last one is what is left if the process ends."""
    folder = tmp_path / "input"

    def write(name: str, data: bytes) -> pathlib.Path:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / name).write_bytes(data)
        return folder / name

    return write


def trials(long: bool, many: int, few: int):
    """A random generator for each trial; the few are the first of the many."""
    for number in range(many if long else few):
        yield np.random.default_rng([7, number])


def test_damaged_images(reader, put, long):
    files = mutations.image_files()
    before = dict(reader.ends)
    for random in trials(long, 4000, 400):
        name, data = mutations.damaged_image(random, files)
        path = put(name, data)
        reader.ask(image=str(path), max_pixels=MAX_PIXELS)
    assert all(reader.ends[end] > before[end] + 30 for end in before)


def test_whole_images(reader, put):
    for name, data in mutations.image_files().items():
        path = put(name, data)
        text = reader.ask(image=str(path), max_pixels=MAX_PIXELS)
        assert text.startswith("read "), (name, text)


def test_damaged_photographs_of_full_size(reader, put, long, shared):
    paths = [*(shared / "tno").glob("*.png"), *(shared / "roadscene").rglob("*.*")]
    for random in trials(long, 300, 10):
        path = sorted(paths)[int(random.integers(len(paths)))]
        data = mutations.damaged(random, path.read_bytes())
        reader.ask(image=str(put(path.name, data)), max_pixels=MAX_PIXELS)


@pytest.mark.parametrize("name", mutations.image_bombs())
def test_image_bombs(reader, put, name):
    path = put(name, mutations.image_bombs()[name]())
    assert path.stat().st_size < 8_000_000
    before = reader.peak
    text = reader.ask(image=str(path), max_pixels=200_000_000)
    # What is read is small: nothing else was unpacked.
    assert text.startswith(("read (2, 2)", "read (48, 40", f"{path}: ")), text
    assert reader.peak < before + 700_000_000


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_the_largest_images_allowed(reader, put, kind, long):
    if not long:
        pytest.skip("needs --long: 200 million pixels take seconds")
    path = put(f"large.{kind}", mutations.largest_images()[kind])
    text = reader.ask(image=str(path), max_pixels=200_000_000)
    assert text == "read (9152, 21845, 3) uint8"


def test_what_is_no_image_file(reader, tmp_path):
    data = mutations.image_files()["grey.png"]
    for path in mutations.odd_files(tmp_path, data, ".png"):
        reader.ask(image=str(path), max_pixels=MAX_PIXELS)


@pytest.fixture(scope="module")
def viewer(tmp_path_factory):
    """Tries videos."""
    with trying("videos", tmp_path_factory.mktemp("viewer")) as child:
        yield child
    assert child.printed() == ""


@pytest.fixture(scope="module")
def video_files(tmp_path_factory) -> dict[str, bytes]:
    return mutations.video_files(tmp_path_factory.mktemp("videos"))


def test_whole_videos(viewer, put, video_files):
    for name, data in video_files.items():
        text = viewer.ask(video=str(put(name, data)), max_pixels=MAX_FRAME_PIXELS)
        size = (64, 48) if name == "turned.mp4" else (48, 64)
        assert text == f"read 6 of {size}", (name, text)


def test_damaged_videos(viewer, put, video_files, long):
    before = dict(viewer.ends)
    for random in trials(long, 1500, 60):
        name, data = mutations.damaged_video(random, video_files)
        viewer.ask(video=str(put(name, data)), max_pixels=MAX_FRAME_PIXELS)
    assert all(viewer.ends[end] > before[end] + 10 for end in before)


def test_video_bombs(viewer, put, video_files):
    for name, data in mutations.video_bombs(video_files).items():
        path = put(name, data)
        text = viewer.ask(video=str(path), max_pixels=MAX_PIXELS)
        allowed = name.startswith("largest allowed")
        assert text.startswith("read 1 of" if allowed else f"{path}: "), text


def test_what_is_no_video_file(viewer, tmp_path, video_files, long):
    paths = mutations.odd_files(tmp_path, video_files["h264.mp4"], ".mp4")
    for path in paths if long else paths[:20]:
        viewer.ask(video=str(path), max_pixels=MAX_FRAME_PIXELS)


def test_nothing_else_is_opened_for_a_video(viewer, put, video_files):
    with socket.create_server(("127.0.0.1", 0)) as server:
        folder = put("other.ts", video_files["h264.ts"]).parent
        texts = mutations.playlists(folder, server.getsockname()[1])
        for name, text in texts.items():
            (folder / name).write_text(text)
            answer = viewer.ask(video=str(folder / name), max_pixels=MAX_FRAME_PIXELS)
            assert answer.startswith(f"{folder / name}: cannot be read as a video: ")
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()


def test_pairing(reader, tmp_path, long):
    before = dict(reader.ends)
    for number, random in enumerate(trials(long, 1500, 150)):
        folder = tmp_path / f"{number}"
        reader.ask(pair=mutations.folders(random, folder))
        shutil.rmtree(folder)
    assert all(reader.ends[end] > before[end] + 20 for end in before)


def test_damaged_keras_files(models, put, checkpoint, long):
    data = checkpoint.read_bytes()
    before = dict(models.ends)
    for random in trials(long, 800, 40):
        path = put("model.keras", mutations.damaged_keras(random, data))
        models.ask(checkpoint=str(path))
    assert models.ends["refused"] > before["refused"] + 10


def test_keras_bombs(models, put, checkpoint):
    for name, data in mutations.keras_bombs(checkpoint.read_bytes()).items():
        before = models.peak
        text = models.ask(checkpoint=str(put("model.keras", data)))
        # Nobody looks into metadata.json.
        assert "model.keras: " in text or name == "metadata.json False", name
        assert models.peak < before + 200_000_000, name


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, checkpoint) -> pathlib.Path:
    """The prefix of a whole TensorFlow 1 checkpoint."""
    from densefuse_tf.model import checkpoints

    prefix = tmp_path_factory.mktemp("bundle") / "model.ckpt"
    model = checkpoints.load_autoencoder(checkpoint)
    tensor_bundles.save(tensor_bundles.release_tensors(model), prefix)
    return prefix


def damage_bundle(random, prefix: pathlib.Path, names: list[str]) -> None:
    index, data = sorted(prefix.parent.glob(f"{prefix.name}.*"), reverse=True)
    part = index if random.random() < 0.5 else data
    match random.integers(6):
        case 0 | 1 | 2:
            change = mutations.bundle_changes(random, names)
            tensor_bundles.rewrite(prefix, change)
        case 3:
            part.write_bytes(mutations.damaged(random, part.read_bytes()))
        case 4:
            content = part.read_bytes()
            part.write_bytes(content[: int(random.integers(len(content)))])
        case 5:
            part.unlink()
            match random.integers(5):
                case 0:
                    part.mkdir()
                case 1:
                    part.symlink_to("missing")
                case 2:
                    os.mkfifo(part)
                case 3:
                    part.symlink_to("/dev/zero")


def test_damaged_tensorflow_checkpoints(models, bundle, tmp_path, long):
    names = list(release_tensors_names(bundle))
    try_damaged_bundles(models, bundle, names, tmp_path, 800 if long else 40)


def test_damaged_checkpoints_of_the_release(models, released, tmp_path, long):
    prefix = pathlib.Path(released["1e2"])
    names = list(release_tensors_names(prefix))
    try_damaged_bundles(models, prefix, names, tmp_path, 200 if long else 10)


def release_tensors_names(prefix: pathlib.Path):
    from densefuse_tf.model import tensor_bundle

    return tensor_bundle.Bundle(prefix).entries


def try_damaged_bundles(models, prefix, names, tmp_path, count) -> None:
    before = dict(models.ends)
    for random in trials(True, count, count):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for part in (".index", ".data-00000-of-00001"):
            shutil.copyfile(f"{prefix}{part}", copy / f"model.ckpt{part}")
        damage_bundle(random, copy / "model.ckpt", names)
        models.ask(checkpoint=str(copy / "model.ckpt"))
    assert models.ends["refused"] > before["refused"] + count // 2


def test_damaged_images_for_a_service(models, put, tmp_path, long):
    files = {
        name: data
        for name, data in mutations.image_files().items()
        if name.endswith((".png", ".jpg"))
    }
    other = tmp_path / "other.png"
    other.write_bytes(files["grey.png"])
    before = dict(models.ends)
    for random in trials(long, 1500, 100):
        name, data = mutations.damaged_image(random, files)
        pair = [str(put(name, data)), str(other)]
        models.ask(fuse=pair if random.random() < 0.5 else pair[::-1])
    assert all(models.ends[end] > before[end] + 10 for end in before)


@pytest.mark.parametrize("name", mutations.image_bombs())
def test_image_bombs_for_a_service(models, put, name):
    path = put(name, mutations.image_bombs()[name]())
    before = models.peak
    models.ask(fuse=[str(path), str(path)])
    assert models.peak < before + 300_000_000
