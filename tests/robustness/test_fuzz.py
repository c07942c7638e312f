"""Damaged inputs give a result or one line, and never end or hang the process.

A child process tries them, so that one which ends the interpreter is told and kept.
`--long` tries several thousand, always the same ones.
"""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator

import mutations
import numpy as np
import pytest

HERE = pathlib.Path(__file__).resolve().parent
# For one input, on a machine that is busy.
MAX_SECONDS = 300


class Child:
    """Runs fuzz_child.py and asks it about one input after the other."""

    def __init__(self, folder: pathlib.Path, *arguments: str):
        self.errors = folder / "stderr"
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "fuzz_child.py"), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ
                | {"PYTHONPATH": str(HERE.parents[1]), "TF_CPP_MIN_LOG_LEVEL": "3"},
            )
        self.ends = {"result": 0, "refused": 0}

    def ask(self, **request) -> str:
        """Returns what is said of an input; fails unless it is a result or a line."""
        line = json.dumps(request)
        if self.process.poll() is not None:
            pytest.skip("an earlier input has ended the process")
        timer = threading.Timer(MAX_SECONDS, self.process.kill)
        timer.start()
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        timer.cancel()
        if not answer:
            status = self.process.wait()
            pytest.fail(f"{line}: the process ended with {status}\n{self.printed()}")
        answer = json.loads(answer)
        assert answer["end"] in self.ends, f"{line}: {answer['end']}: {answer['text']}"
        self.ends[answer["end"]] += 1
        return answer["text"]

    def printed(self) -> str:
        return self.errors.read_text(errors="replace")[-2000:]


@contextlib.contextmanager
def trying(what: str, folder: pathlib.Path, *arguments: str) -> Iterator[Child]:
    """Yields a child for the tests of a module; prints what became of its inputs."""
    child = Child(folder, *arguments)
    yield child
    child.process.communicate()
    print(f"{what}: {child.ends}")


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Tries images, pairing and videos; the libraries below print nothing."""
    with trying("images and videos", tmp_path_factory.mktemp("reader")) as child:
        yield child
    assert child.printed() == ""


@pytest.fixture(scope="module")
def models(tmp_path_factory, checkpoint):
    """Tries checkpoints and the signature fuse_encoded."""
    from densefuse_tf.fusion.settings import FusionSettings
    from densefuse_tf.serving import export
    from densefuse_tf.serving.settings import ExportSettings

    folder = tmp_path_factory.mktemp("models")
    settings = ExportSettings(max_pixels=1_000_000)
    export.export(FusionSettings(checkpoint), folder / "1", settings)
    with trying("models", folder, str(folder / "1")) as child:
        yield child


@pytest.fixture(scope="module")
def image_files() -> dict[str, bytes]:
    return mutations.image_files()


@pytest.fixture(scope="module")
def video_files(tmp_path_factory) -> dict[str, bytes]:
    return mutations.video_files(tmp_path_factory.mktemp("videos"))


@pytest.fixture
def put(tmp_path):
    """Writes an input into a folder that holds nothing else."""

    def write(name: str, data: bytes) -> str:
        shutil.rmtree(tmp_path / "input", ignore_errors=True)
        (tmp_path / "input").mkdir()
        (tmp_path / "input" / name).write_bytes(data)
        return str(tmp_path / "input" / name)

    return write


def trials(long: bool, many: int, few: int):
    """Yields a random generator for each trial; the few are the first of the many."""
    for number in range(many if long else few):
        yield np.random.default_rng([7, number])


@contextlib.contextmanager
def both_ends(child: Child, least: int) -> Iterator[None]:
    """Checks that some of the inputs gave a result and some were refused."""
    before = dict(child.ends)
    yield
    assert all(child.ends[end] > before[end] + least for end in before)


def test_whole_images_are_read(reader, put, image_files):
    for name, data in image_files.items():
        text = reader.ask(image=put(name, data))
        assert text.startswith("read "), (name, text)


def test_damaged_images_give_a_result_or_one_line(reader, put, image_files, long):
    with both_ends(reader, 30):
        for random in trials(long, 4000, 300):
            reader.ask(image=put(*mutations.damaged_file(random, image_files)))


def test_damaged_photographs_give_a_result_or_one_line(reader, put, long, shared):
    paths = [*(shared / "tno").glob("*.png"), *(shared / "roadscene").rglob("*.*")]
    for random in trials(long, 300, 10):
        path = mutations.pick(random, sorted(paths))
        data = mutations.damaged(random, path.read_bytes())
        reader.ask(image=put(path.name, data))


def test_odd_image_paths_give_a_result_or_one_line(reader, tmp_path, image_files):
    for path in mutations.odd_files(tmp_path, image_files["grey.png"], ".png"):
        reader.ask(image=str(path))


def test_odd_folders_are_paired_or_refused(reader, tmp_path, long):
    with both_ends(reader, 20):
        for number, random in enumerate(trials(long, 1500, 120)):
            folder = tmp_path / f"{number}"
            reader.ask(pair=mutations.folders(random, folder))
            shutil.rmtree(folder)


def test_whole_videos_are_read(reader, put, video_files):
    for name, data in video_files.items():
        assert reader.ask(video=put(name, data)) == "read 6 of (48, 64)", name


def test_damaged_videos_give_a_result_or_one_line(reader, put, video_files, long):
    with both_ends(reader, 5):
        for random in trials(long, 1500, 40):
            reader.ask(video=put(*mutations.damaged_file(random, video_files)))


def test_odd_video_paths_give_a_result_or_one_line(reader, tmp_path, video_files, long):
    paths = mutations.odd_files(tmp_path, video_files["h264.mp4"], ".mp4")
    for path in paths if long else paths[:20]:
        reader.ask(video=str(path))


def test_damaged_keras_files_give_a_result_or_one_line(models, put, checkpoint, long):
    refused = models.ends["refused"]
    for random in trials(long, 400, 30):
        data = mutations.damaged(random, checkpoint.read_bytes())
        models.ask(checkpoint=put("model.keras", data))
    assert models.ends["refused"] > refused + 10


def test_damaged_tensorflow_checkpoints_give_a_result_or_one_line(
    models, released, tmp_path, long
):
    for random in trials(long, 200, 10):
        prefix = tmp_path / "model.ckpt"
        for part in (".index", ".data-00000-of-00001"):
            data = pathlib.Path(released["1e2"] + part).read_bytes()
            if random.random() < 0.7:
                data = mutations.damaged(random, data)
            prefix.with_name(prefix.name + part).write_bytes(data)
        models.ask(checkpoint=str(prefix))


def test_service_answers_damaged_images(models, put, image_files, tmp_path, long):
    files = {
        name: data
        for name, data in image_files.items()
        if name.endswith((".png", ".jpg"))
    }
    other = tmp_path / "other.png"
    other.write_bytes(files["grey.png"])
    with both_ends(models, 10):
        for random in trials(long, 1500, 100):
            pair = [put(*mutations.damaged_file(random, files)), str(other)]
            models.ask(fuse=pair if random.random() < 0.5 else pair[::-1])
