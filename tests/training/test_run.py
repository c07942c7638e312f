"""A training run: what it writes, how it goes on, and what stops it."""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from densefuse_tf.baselines.deepfuse import DeepFuse
from densefuse_tf.errors import UserError
from densefuse_tf.model import checkpoints
from densefuse_tf.model import deepfuse
from densefuse_tf.model import network
from densefuse_tf.training import curves
from densefuse_tf.training import devices
from densefuse_tf.training import folder
from densefuse_tf.training import losses
from densefuse_tf.training.run import TrainingRun
from densefuse_tf.training.run import interrupts_deferred
from densefuse_tf.training.settings import RECIPES
from densefuse_tf.training.settings import Term
from densefuse_tf.training.settings import TrainingSettings
from densefuse_tf.training.settings import find_recipe

pytestmark = pytest.mark.usefixtures("traced_once")
ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZE = 16
# A history without a third term.
BEFORE = [dict.fromkeys(find_recipe("paper").columns, 1)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Fourteen small photographs: soft noise, different each."""
    photos = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(14):
        coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((40, 30), Image.BILINEAR)
        image.save(photos / f"{number:02}.png")
    return photos


def settings(photos, **changes):
    """Makes those of a tiny run that has everything a long one has."""
    return dataclasses.replace(
        TrainingSettings(
            train_dir=str(photos),
            num_val_images=4,
            iterations=12,
            val_every=3,
            save_every=4,
            image_size=SIZE,
        ),
        **changes,
    )


def weights(run_dir):
    return checkpoints.load_autoencoder(run_dir / "model.keras").get_weights()


def assert_weights(run_dir, other, **tolerances):
    """Checks that two runs have saved the same weights."""
    for ours, theirs in zip(weights(run_dir), weights(other), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, **tolerances)


@pytest.fixture(scope="module")
def finished(traced_once, photos, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    TrainingRun(settings(photos), run_dir).train()
    return run_dir


def test_run_writes_model_history_config_and_logs(finished):
    rows = folder.read_history(finished / "history.csv")
    assert [row["iteration"] for row in rows] == [3, 6, 9, 12]
    assert rows[-1]["total_loss"] < rows[0]["total_loss"]
    for row in rows:
        assert row["total_loss"] == pytest.approx(
            row["pixel_loss"] + 100 * row["ssim_loss"], rel=1e-5
        )
    config = json.loads((finished / "config.json").read_text())
    assert config["settings"]["iterations"] == 12
    assert config["num_train_images"] == 10 and config["num_val_images"] == 4
    assert config["versions"]["tensorflow"] == tf.__version__
    report = json.loads((finished / "validation.json").read_text())
    assert report["iteration"] == 12 and report["num_images"] == 4
    assert report["ssim"] == pytest.approx(rows[-1]["val_ssim"])
    assert list((finished / "tensorboard").glob("events*"))
    assert not list(finished.glob(".*"))


def test_saved_model_gives_the_validation_loss_of_the_history(finished, photos):
    run = TrainingRun(settings(photos), finished)
    images = np.concatenate(
        [x for x, _ in run.val_images.validation_batches(2).as_numpy_iterator()]
    )
    model = checkpoints.load_autoencoder(finished / "model.keras")
    outputs = model(images).numpy()
    expected = np.sqrt(((outputs - images) ** 2).sum(axis=(1, 2, 3))).mean()
    row = folder.read_history(finished / "history.csv")[-1]
    assert row["val_pixel_loss"] == pytest.approx(expected, rel=1e-4)
    ssim = tf.image.ssim(images, model(images), 255.0).numpy().mean()
    assert row["val_ssim"] == pytest.approx(ssim, abs=1e-5)


@pytest.mark.guard
def test_best_model_has_the_lowest_validation_loss(photos, tmp_path):
    run_dir = tmp_path / "run"
    # A rate at which the loss soon goes up and down.
    TrainingRun(
        settings(photos, learning_rate=0.02, val_every=1, iterations=9), run_dir
    ).train()
    rows = folder.read_history(run_dir / "history.csv")
    losses = [row["val_pixel_loss"] + 100 * (1 - row["val_ssim"]) for row in rows]
    best = int(np.argmin(losses))
    assert 0 < best < len(losses) - 1
    again = tmp_path / "again"
    TrainingRun(
        settings(photos, learning_rate=0.02, val_every=1, iterations=best + 1), again
    ).train()
    kept = checkpoints.load_autoencoder(run_dir / "best.keras").get_weights()
    for ours, theirs in zip(kept, weights(again), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_finished_run_is_left_alone(finished, photos):
    before = {p: p.stat().st_mtime_ns for p in finished.glob("*.keras")}
    TrainingRun(settings(photos), finished).train()
    assert before == {p: p.stat().st_mtime_ns for p in finished.glob("*.keras")}


@pytest.mark.parametrize(
    "first", [5, *(pytest.param(n, marks=pytest.mark.guard) for n in (4, 11))]
)
def test_resumed_run_ends_with_the_same_weights(finished, photos, tmp_path, first):
    run_dir = tmp_path / "run"
    TrainingRun(settings(photos, iterations=first), run_dir).train()
    TrainingRun(settings(photos), run_dir).train()
    assert folder.read_history(run_dir / "history.csv") == folder.read_history(
        finished / "history.csv"
    )
    assert_weights(run_dir, finished)


@pytest.mark.guard
@pytest.mark.parametrize("cut_off", ["save", "write_history"])
def test_run_cut_off_in_its_last_save_ends_with_the_same_weights(
    finished, photos, tmp_path, monkeypatch, cut_off
):
    """Between two of its files; tests/robustness/test_kills.py kills at any moment."""
    run_dir = tmp_path / "run"
    chosen = settings(photos, save_every=100)

    def kill(*_):
        raise KeyboardInterrupt

    run = TrainingRun(chosen, run_dir)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        save = run.save
        owner = run.trainer if cut_off == "save" else folder
        patch.setattr(
            run, "save", lambda: (patch.setattr(owner, cut_off, kill), save())
        )
        run.train()
    assert run.state.iteration == 12
    TrainingRun(chosen, run_dir).train()
    assert_weights(run_dir, finished)


@pytest.fixture
def ctrl_c():
    """Raises SIGINT, which the shell may have switched off for the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_interrupt_saves_and_the_same_settings_go_on(
    finished, photos, tmp_path, monkeypatch, caplog, ctrl_c
):
    run = TrainingRun(settings(photos, save_every=100), tmp_path / "run")
    validate = run.validate

    def interrupted(limit):
        if run.state.iteration == 6:
            ctrl_c()
        return validate(limit)

    monkeypatch.setattr(run, "validate", interrupted)
    with caplog.at_level("INFO", logger="absl"), pytest.raises(KeyboardInterrupt):
        run.train()
    assert f"saved at iteration 6 of 12 in {tmp_path / 'run'}" in caplog.text
    assert "the same command goes on from there" in caplog.text
    again = TrainingRun(settings(photos, save_every=100), tmp_path / "run")
    assert again.state.iteration == 6
    again.train()
    assert_weights(tmp_path / "run", finished)


def test_second_interrupt_ends_at_once(ctrl_c):
    with interrupts_deferred() as asked:
        ctrl_c()
        assert asked == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()


def test_epochs_are_counted_in_photographs(photos, tmp_path):
    run = TrainingRun(
        settings(photos, iterations=None, epochs=2, val_every=100), tmp_path / "run"
    )
    run.train()
    assert run.num_iterations == run.state.iteration == 10


@pytest.mark.guard
def test_run_of_epochs_with_an_unreadable_photograph_is_finished_once(
    photos, tmp_path, caplog
):
    shutil.copytree(photos, tmp_path / "photos")
    chosen = settings(tmp_path / "photos", iterations=None, epochs=2, batch_size=5)
    run = TrainingRun(chosen, tmp_path / "run")
    run.train_images.paths[7].write_bytes(b"no image")
    run.train()
    assert run.num_iterations == 4 and run.state.iteration == 2
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*.*")}
    with caplog.at_level("INFO", logger="absl"):
        TrainingRun(chosen, tmp_path / "run").train()
    assert "run holds the finished run" in caplog.text
    del kept[tmp_path / "run/config.json"]
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    longer = TrainingRun(dataclasses.replace(chosen, epochs=3), tmp_path / "run")
    longer.train()
    assert longer.is_finished and longer.state.iteration == 3


def test_folder_of_a_run_of_an_earlier_version_goes_on(photos, tmp_path):
    TrainingRun(settings(photos, iterations=1), tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    for later in ("network", "deterministic"):
        del config["settings"][later]
    path.write_text(json.dumps(config))
    TrainingRun(settings(photos, iterations=1), tmp_path / "run")
    assert "deterministic" in json.loads(path.read_text())["settings"]


def test_folder_of_a_run_with_other_settings_is_refused(finished, photos):
    before = (finished / "config.json").read_bytes()
    with pytest.raises(UserError, match=r"holds a run with ssim_weight=100\.0"):
        TrainingRun(settings(photos, ssim_weight=1.0), finished)
    assert (finished / "config.json").read_bytes() == before


def test_folder_of_a_run_on_other_photographs_is_refused(finished, photos):
    with pytest.raises(UserError, match=r"10 \+ 4 photographs, now there are"):
        extra = photos / "99.png"
        Image.fromarray(np.zeros((20, 20), np.uint8)).save(extra)
        try:
            TrainingRun(settings(photos), finished)
        finally:
            extra.unlink()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "soup"}, "unknown recipe 'soup'"),
        ({"network": "soup"}, "unknown network 'soup': expected one of densefuse"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 11}, "expected at least one batch of 11"),
        ({"num_val_images": 14}, "expected more than the 14 held out"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"image_size": 10}, "image_size is 10"),
        ({"resize": "magic"}, "resize is 'magic'"),
        ({"mixed_precision": "int4"}, "mixed_precision is 'int4'"),
        ({"train_dir": "/nowhere"}, "no such file or folder"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_impossible_settings_are_refused(photos, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        TrainingRun(settings(photos, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_photographs_that_cannot_be_read_leave_the_folder_free(photos, tmp_path):
    (tmp_path / "bad").mkdir()
    for number in range(9):
        (tmp_path / f"bad/{number}.png").write_text("no image")
    run_dir = tmp_path / "run"
    with pytest.raises(UserError, match="0 of 5 photographs can be read"):
        TrainingRun(settings(tmp_path / "bad"), run_dir)
    assert TrainingRun(settings(photos), run_dir).state.iteration == 0


@pytest.mark.parametrize(
    ("num_gpus", "batch_size", "used"), [(4, 2, 2), (3, 2, 2), (4, 8, 4), (8, 6, 6)]
)
def test_gpus_used_are_as_many_as_share_a_batch(
    monkeypatch, caplog, num_gpus, batch_size, used
):
    gpus = [f"/physical_device:GPU:{number}" for number in range(num_gpus)]
    grown = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(
        tf.config.experimental, "set_memory_growth", lambda gpu, on: grown.append(gpu)
    )
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda names: names)
    expected = [f"GPU:{number}" for number in range(used)]
    with caplog.at_level("INFO", logger="absl"):
        assert devices.choose_strategy(batch_size) == expected
    assert grown == gpus
    assert "a resumed run will differ from one without a break" in caplog.text


def test_deterministic_makes_tensorflow_so_on_gpus(monkeypatch, caplog):
    calls = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda *_: None)
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: calls.append("on")
    )
    with caplog.at_level("INFO", logger="absl"):
        devices.choose_strategy(2, deterministic=True)
    assert calls == ["on"]
    assert "training on 1 of 1 GPU" in caplog.text and "differ" not in caplog.text


def test_batch_that_devices_cannot_share_is_refused(photos, tmp_path, monkeypatch):
    three = types.SimpleNamespace(num_replicas_in_sync=3)
    monkeypatch.setattr(devices, "choose_strategy", lambda *_, **__: three)
    with pytest.raises(UserError, match="batch_size is 2: expected a multiple of 3"):
        TrainingRun(settings(photos), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_broken_state_is_refused(finished, photos, tmp_path):
    run_dir = tmp_path / "run"
    TrainingRun(settings(photos, iterations=1), run_dir).train()
    state = run_dir / "state.npz"
    state.write_bytes(state.read_bytes()[:5000])
    with pytest.raises(UserError, match="cannot be read as the state"):
        TrainingRun(settings(photos), run_dir)


def test_nan_stops_the_run_names_the_files_and_keeps_the_save(photos, tmp_path):
    run_dir = tmp_path / "run"
    TrainingRun(settings(photos, iterations=4), run_dir).train()
    kept = weights(run_dir)
    run = TrainingRun(settings(photos), run_dir)
    kernel = network.convolution_layer(run.trainer.autoencoder, "C5").kernel
    kernel.assign(np.full(kernel.shape, np.nan, np.float32))
    with pytest.raises(UserError, match=r"iteration 5: the loss is nan on .*\.png, "):
        run.train()
    for ours, theirs in zip(weights(run_dir), kept, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_release_recipe_trains(photos, tmp_path):
    run = TrainingRun(
        settings(photos, recipe="release", iterations=6), tmp_path / "run"
    )
    run.train()
    assert [row["iteration"] for row in run.state.rows] == [3, 6]
    assert all(math.isfinite(row["total_loss"]) for row in run.state.rows)


@pytest.mark.guard
def test_a_term_of_the_recipe_is_all_that_a_new_loss_needs(
    photos, tmp_path, monkeypatch
):
    def darkest(images, outputs):
        return tf.abs(tf.reduce_min(images - outputs, axis=[1, 2, 3]))

    monkeypatch.setattr(losses, "darkest", darkest, raising=False)
    paper = find_recipe("paper")
    terms = (*paper.terms, Term("darkest_loss", "darkest", 3.0))
    monkeypatch.setitem(
        RECIPES["densefuse"], "paper", dataclasses.replace(paper, terms=terms)
    )
    run_dir = tmp_path / "run"
    for iterations in (3, 4):
        chosen = settings(photos, iterations=iterations, val_every=2)
        TrainingRun(chosen, run_dir).train()
    rows = folder.read_history(run_dir / "history.csv")
    for row in rows:
        assert row["total_loss"] == pytest.approx(
            row["pixel_loss"] + 100 * row["ssim_loss"] + 3 * row["darkest_loss"],
            rel=1e-5,
        )
    report = json.loads((run_dir / "validation.json").read_text())
    assert report["darkest_loss"] == rows[-1]["val_darkest_loss"] > 0
    logged = {
        value.tag
        for file in (run_dir / "tensorboard").glob("events*")
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }
    assert logged == rows[0].keys() - {"iteration"}
    sizes = []
    for validation in (False, True):
        for histories in ({"with": rows}, {"with": rows, "without": BEFORE}):
            curves.draw(histories, tmp_path / "f.png", validation=validation)
            sizes.append(Image.open(tmp_path / "f.png").width)
    # As many panels with the other history, which has no such term, as without it.
    assert sizes[0] == sizes[1] > sizes[2] == sizes[3]


@pytest.mark.guard
@pytest.mark.parametrize("recipe", ["release", "paper"])
def test_deepfuse_trains_goes_on_and_fuses(photos, tmp_path, recipe):
    chosen = {"network": "deepfuse", "recipe": recipe, "ssim_weight": 1.0}
    for name, lengths in (("whole", [12]), ("resumed", [5, 12])):
        for iterations in lengths:
            TrainingRun(
                settings(photos, iterations=iterations, **chosen), tmp_path / name
            ).train()
    rows = folder.read_history(tmp_path / "whole/history.csv")
    assert rows == folder.read_history(tmp_path / "resumed/history.csv")
    assert rows[-1]["total_loss"] < rows[0]["total_loss"]
    for row in rows:
        assert row["total_loss"] == pytest.approx(row["ssim_loss"], rel=1e-6)
    whole, resumed = (
        deepfuse.load_autoencoder(tmp_path / name / "model.keras").get_weights()
        for name in ("whole", "resumed")
    )
    for ours, theirs in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    pair = np.random.default_rng(0).integers(256, size=(2, 12, 17), dtype=np.uint8)
    method = DeepFuse(checkpoint=str(tmp_path / "whole/model.keras"))
    assert method.fuse(*pair).shape == (12, 17)


def test_the_best_model_is_judged_by_all_terms():
    """val_ssim is the index, of which the loss is what it lacks of 1."""
    row = {"val_pixel_loss": 10.0, "val_ssim": 0.9}
    assert find_recipe("paper").validation_loss(row) == pytest.approx(10 + 100 * 0.1)
    weighted = find_recipe("paper").weighted(1000.0)
    assert weighted.validation_loss(row) == pytest.approx(10 + 1000 * 0.1)
    for name in ("release", "paper"):
        loss = find_recipe(name, "deepfuse").validation_loss
        # DeepFuse's pixel loss is measured, and does not count.
        assert loss({"val_pixel_loss": 10.0, "val_ssim": 0.9}) == pytest.approx(0.1)


def test_the_recipes_are_those_of_the_paper_and_of_the_releases():
    found = {
        (network_name, recipe.name): (
            [(term.loss, term.weight) for term in recipe.terms],
            recipe.interleaved_batches,
        )
        for network_name, recipes in RECIPES.items()
        for recipe in recipes.values()
    }
    of_1 = "contrast_structure_of_1_loss"
    assert found == {
        ("densefuse", "paper"): (
            [("euclidean", 1.0), ("full_ssim_loss", 100.0)],
            False,
        ),
        ("densefuse", "release"): ([("mean_squared", 1.0), (of_1, 100.0)], True),
        ("deepfuse", "release"): ([("mean_squared", 0.0), (of_1, 1.0)], False),
        ("deepfuse", "paper"): (
            [("mean_squared", 0.0), ("contrast_structure_loss", 1.0)],
            False,
        ),
    }


def test_a_network_decides_the_default_of_recipe_and_weight():
    for network_name, expected in (
        ("densefuse", ("paper", 100.0)),
        ("deepfuse", ("release", 1.0)),
    ):
        default = TrainingSettings("photos", network=network_name)
        assert (default.recipe, default.ssim_weight) == expected


@pytest.mark.guard
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_mixed_precision_keeps_weights_and_output_in_float32(photos, tmp_path, dtype):
    run = TrainingRun(
        settings(photos, mixed_precision=dtype, iterations=3), tmp_path / "run"
    )
    run.train()
    outputs = run.trainer.autoencoder(np.zeros((1, SIZE, SIZE, 1), np.float32))
    assert outputs.dtype == tf.float32
    assert all(
        v.dtype == "float32" for v in run.trainer.autoencoder.trainable_variables
    )
    saved = checkpoints.load_autoencoder(tmp_path / "run" / "model.keras")
    for name in network.CONVOLUTIONS:
        assert network.convolution_layer(saved, name).compute_dtype == "float32"


@pytest.mark.guard
def test_xla_gives_the_same_losses(photos, tmp_path, finished):
    run = TrainingRun(settings(photos, xla=True, iterations=6), tmp_path / "run")
    run.train()
    expected = folder.read_history(finished / "history.csv")[:2]
    for row, other in zip(run.state.rows, expected, strict=True):
        assert row["total_loss"] == pytest.approx(other["total_loss"], rel=1e-3)


WORKER = """
import sys
from densefuse_tf.training.run import TrainingRun
from densefuse_tf.training.settings import RECIPES
from densefuse_tf.training.settings import Term
from densefuse_tf.training.settings import TrainingSettings
from densefuse_tf.training.settings import find_recipe
run = TrainingRun(
    TrainingSettings(**{settings}), sys.argv[1], multi_worker=True
)
run.train()
print(run.is_chief)
"""


REPLICAS = """
import json, sys
import numpy as np
import tensorflow as tf
from densefuse_tf.errors import UserError
from densefuse_tf.model import network
from densefuse_tf.training import devices
from densefuse_tf.training.run import TrainingRun
from densefuse_tf.training.settings import TrainingSettings

(cpu,) = tf.config.list_physical_devices("CPU")
half = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(cpu, [half, half])
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
devices.choose_strategy = lambda *_, **__: strategy
settings = TrainingSettings(**json.loads(sys.argv[1]))
run = TrainingRun(settings, sys.argv[2])
run.train()
kernel = network.convolution_layer(run.trainer.autoencoder, "C5").kernel.value
first = kernel.values[0]
first.assign(np.full(first.shape, np.nan, np.float32))
run.state.iteration -= 1
try:
    run.train()
except UserError as error:
    print(error)
"""


@pytest.mark.guard
def test_two_devices_train_as_one_does(photos, finished, tmp_path):
    """Also with three validation images, of which one device has one, the other two."""
    run_dir = tmp_path / "run"
    chosen = dataclasses.asdict(settings(photos, iterations=6))
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS, json.dumps(chosen), str(run_dir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows, expected = (
        [list(row.values()) for row in folder.read_history(path / "history.csv")]
        for path in (run_dir, finished)
    )
    np.testing.assert_allclose(rows, expected[:2], rtol=1e-5)
    # The first of them alone has lost its weights.
    assert "iteration 6: the loss is nan on " in done.stdout


def test_two_workers_train_as_one_does(photos, tmp_path, long):
    """Two processes on loopback on the global batches that one worker takes.

    One of them has no part of the last batch of the five validation images.
    """
    if not long:
        pytest.skip("takes more than a minute: --long")
    chosen = settings(photos, iterations=4, val_every=2, save_every=2, num_val_images=5)
    script = WORKER.format(settings=dataclasses.asdict(chosen))
    tasks = ("chief", "worker")
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in tasks
        ]
        addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in servers]
    cluster = {task: [own] for task, own in zip(tasks, addresses, strict=True)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "two")],
            cwd=ROOT,
            env=os.environ
            | {
                "TF_CONFIG": json.dumps(
                    {"cluster": cluster, "task": {"type": task, "index": 0}}
                )
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for task in tasks
    ]
    try:
        outputs = [worker.communicate(timeout=240) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    assert [printed.split()[-1] for printed, _ in outputs] == ["True", "False"]
    TrainingRun(chosen, tmp_path / "one").train()
    two, one = (
        [
            list(row.values())
            for row in folder.read_history(tmp_path / name / "history.csv")
        ]
        for name in ("two", "one")
    )
    np.testing.assert_allclose(two, one, rtol=1e-4)
    assert_weights(tmp_path / "two", tmp_path / "one", atol=1e-6)
