"""Damaged images, checkpoints and requests give a result or one line.

The damage is what disks, networks and programs do: flipped bits, missing and foreign
bytes, numbers of other sizes. `--long` makes several thousand trials, always the same.
"""

import pathlib
import struct

import image_bytes
import numpy as np
import tensorflow as tf

from densefuse_tf.errors import UserError
from densefuse_tf.fusion.inference import InferenceGraph
from densefuse_tf.fusion.output_range import to_pixels_in_graph
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import images
from densefuse_tf.model import checkpoints
from densefuse_tf.serving import signatures

NUMBERS = (0, 1, 7, 16, 17, 255, 256, 60000, 65535, 2**20, 2**31 - 1, 2**32 - 1)


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


def try_all(attempt, refusal, many: int) -> None:
    """Checks that each trial ends in a result or a refusal, and some in the latter."""
    refused = 0
    for number in range(many):
        try:
            attempt(np.random.default_rng([7, number]))
        except refusal as error:
            assert refusal is not UserError or "\n" not in str(error)
            refused += 1
    assert refused > many / 3


def test_damaged_images_give_a_result_or_one_line(put, long):
    files = image_bytes.whole_files()

    def attempt(random):
        name = pick(random, sorted(files))
        images.read(put(damaged(random, files[name]), name), max_pixels=20_000_000)

    try_all(attempt, UserError, 4000 if long else 300)


def test_damaged_keras_files_give_a_result_or_one_line(put, checkpoint, long):
    def attempt(random):
        data = damaged(random, checkpoint.read_bytes())
        checkpoints.load_autoencoder(put(data, "model.keras"))

    try_all(attempt, UserError, 400 if long else 30)


def test_damaged_tensorflow_checkpoints_give_a_result_or_one_line(put, released, long):
    def attempt(random):
        for part in (".index", ".data-00000-of-00001"):
            data = pathlib.Path(released["1e2"] + part).read_bytes()
            data = damaged(random, data) if random.random() < 0.5 else data
            prefix = put(data, f"model.ckpt{part}").with_name("model.ckpt")
        checkpoints.load_autoencoder(prefix)

    try_all(attempt, UserError, 200 if long else 15)


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

    try_all(attempt, tf.errors.InvalidArgumentError, 1500 if long else 100)
