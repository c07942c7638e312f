"""Damaged files of every kind, and requests, give a result or one line.

The damage is what disks, networks and programs do: flipped bits, missing and foreign
bytes, other numbers, words of JSON elsewhere. `--long` makes 25,000 trials, always
the same; with -rP it shows how many were refused.
"""

import json
import pathlib
import re
import struct

import image_bytes
import numpy as np
import pytest
import tensorflow as tf

from densefuse_tf import registration
from densefuse_tf.baselines import cnn_network
from densefuse_tf.baselines import dictionaries
from densefuse_tf.errors import UserError
from densefuse_tf.fusion.inference import InferenceGraph
from densefuse_tf.fusion.output_range import to_pixels_in_graph
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import images
from densefuse_tf.model import checkpoints
from densefuse_tf.serving import signatures
from densefuse_tf.training import folder
from densefuse_tf.training.settings import TrainingSettings
from densefuse_tf.training.settings import find_recipe
from densefuse_tf.training.state import State

NUMBERS = (0, 1, 7, 16, 17, 255, 256, 60000, 65535, 2**20, 2**31 - 1, 2**32 - 1)
WORDS = (
    "1e999",
    "-1",
    "0",
    "null",
    "true",
    "[]",
    "{}",
    '"x"',
    "9" * 30,
    "NaN",
    "[" * 9,
)


def pick(random, choices):
    """Returns one of the choices, as it is; NumPy's choice would convert bytes."""
    return choices[int(random.integers(len(choices)))]


def damaged(random, data: bytes) -> bytes:
    """Returns data with one to three damages."""
    changed = bytearray(data)
    for _ in range(random.integers(1, 4)):
        # Headers are where the numbers are.
        reach = len(changed) if random.random() < 0.5 else min(len(changed), 300)
        place, length = int(random.integers(reach)), int(random.integers(1, 64))
        match random.integers(6):
            case 0:
                for _ in range(random.integers(1, 12)):
                    changed[int(random.integers(reach))] ^= 1 << random.integers(8)
            case 1:
                changed[place : place + length] = (
                    pick(random, [b"\0", b"\xff"]) * length
                )
            case 2:
                del changed[max(1, int(random.integers(len(changed)))) :]
            case 3:
                del changed[place + 1 : place + length]
            case 4:
                changed[place:place] = random.bytes(length)
            case 5:
                number = struct.pack(pick(random, ["<I", ">I"]), pick(random, NUMBERS))
                changed[place : place + 4] = number
    return bytes(changed)


def damaged_text(random, data: bytes) -> bytes:
    """Returns text with other words in the place of some, or damaged bytes."""
    if random.random() < 0.3:
        return damaged(random, data)
    words = list(re.finditer(rb"[\w.+-]+|\[[^][]*\]", data))
    for _ in range(random.integers(1, 3)):
        found = pick(random, words)
        word = pick(random, WORDS).encode()
        data = data[: found.start()] + word + data[found.end() :]
    return data


def try_all(attempt, refusal, many: int) -> None:
    """Checks that each trial ends in a result or a refusal, and some in the latter."""
    refused = 0
    for number in range(many):
        try:
            attempt(np.random.default_rng([7, number]))
        except refusal as error:
            assert refusal is not UserError or "\n" not in str(error)
            refused += 1
    print(f"{many} tried: {refused} refused, {many - refused} gave a result")
    assert refused > many / 5


def test_damaged_images_give_a_result_or_one_line(put, long):
    files = image_bytes.whole_files()

    def attempt(random):
        name = pick(random, sorted(files))
        images.read(put(damaged(random, files[name]), name), max_pixels=20_000_000)

    try_all(attempt, UserError, 13_000 if long else 300)


def test_damaged_keras_files_give_a_result_or_one_line(put, checkpoint, long):
    def attempt(random):
        data = damaged(random, checkpoint.read_bytes())
        checkpoints.load_autoencoder(put(data, "model.keras"))

    try_all(attempt, UserError, 500 if long else 30)


def test_damaged_tensorflow_checkpoints_give_a_result_or_one_line(put, released, long):
    def attempt(random):
        for part in (".index", ".data-00000-of-00001"):
            data = pathlib.Path(released["1e2"] + part).read_bytes()
            data = damaged(random, data) if random.random() < 0.5 else data
            prefix = put(data, f"model.ckpt{part}").with_name("model.ckpt")
        checkpoints.load_autoencoder(prefix)

    try_all(attempt, UserError, 300 if long else 15)


def test_service_answers_damaged_images(checkpoint, long):
    files = image_bytes.whole_files()
    names = [name for name in sorted(files) if name.endswith((".png", ".jpg"))]
    served = signatures.signatures(
        InferenceGraph(FusionSettings(checkpoint)),
        lambda raw: to_pixels_in_graph(raw, "minmax", 1.0),
        max_pixels=1_000_000,
    )[signatures.ENCODED]

    def attempt(random):
        broken = damaged(random, files[pick(random, names)])
        served(tf.constant([broken]), tf.constant([files["rgb.png"]]))

    try_all(attempt, tf.errors.InvalidArgumentError, 1200 if long else 100)


@pytest.fixture
def written(tmp_path) -> dict[str, tuple]:
    """Small files of every other kind, whole, by name, and what reads them."""
    random = np.random.default_rng(0)
    points = np.array([[0, 0], [90, 3], [88, 70], [2, 66]], float)
    found = registration.from_points(points, points + 5, shapes=((80, 100),) * 2)
    registration.save(tmp_path / "rig.json", found)
    rows = "".join(f"{x},{y},{x + 5},{y + 5}\n" for x, y in points)
    (tmp_path / "points.csv").write_text(f"fixed_x,fixed_y,moving_x,moving_y\n{rows}")
    atoms = random.standard_normal(dictionaries.SHAPE)
    atoms /= np.linalg.norm(atoms, axis=0)
    np.save(tmp_path / "atoms.npy", atoms)
    np.savez_compressed(tmp_path / "atoms.npz", D=atoms)
    # Small, though it is of no use as the CNN's weights: it is refused by its shapes.
    np.savez(tmp_path / "cnn.npz", **{k: np.zeros(3, "f4") for k in cnn_network.SHAPES})
    recipe = find_recipe("paper")
    state = State(recipe)
    losses = dict.fromkeys(recipe.step_losses, 1.5)
    state.count(losses, last_position=3)
    state.close_row(
        dict.fromkeys([c[4:] for c in recipe.columns if c[:4] == "val_"], 2.0)
    )
    state.save(tmp_path / "state.npz", [])
    folder.write_history(tmp_path / "history.csv", recipe.columns, state.rows)
    described = folder.describe(TrainingSettings("photos"), 40, 10)
    (tmp_path / "config.json").write_text(json.dumps(described))

    def read_configuration(path):
        (path.parent / "config.json").write_bytes(path.read_bytes())
        folder.check_same(path.parent, described)

    readers = {
        "rig.json": registration.load,
        "points.csv": lambda path: registration.from_points(
            *registration.read_points(path), shapes=((80, 100),) * 2
        ),
        "atoms.npy": dictionaries.read,
        "atoms.npz": dictionaries.read,
        "cnn.npz": cnn_network.read_weights,
        "state.npz": lambda path: State(recipe).load(path, []),
        "history.csv": folder.read_history,
        "config.json": read_configuration,
    }
    return {
        name: ((tmp_path / name).read_bytes(), read) for name, read in readers.items()
    }


def test_damaged_files_of_every_other_kind_give_a_result_or_one_line(
    written, put, long
):
    def attempt(random):
        name = pick(random, sorted(written))
        data, read = written[name]
        spoil = damaged if name.endswith(("npy", "npz")) else damaged_text
        read(put(spoil(random, data), f"damaged_{name}"))

    try_all(attempt, UserError, 10_000 if long else 400)
