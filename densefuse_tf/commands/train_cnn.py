"""Trains the network of the CNN baseline on photographs, sharp and blurred.

  python -m densefuse_tf.commands.train_cnn --train_dir=photographs \\
      --patches_per_level=250 --weights=cnn.npz

Writes the weights as an .npz file, which the option `checkpoint` of the method cnn
reads.
"""

import sys

from absl import flags

from densefuse_tf import startup
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError

_FLAGS = flags.FlagValues()
_TRAIN_DIR = flags.DEFINE_string(
    "train_dir",
    None,
    "Photographs to train on: a folder or a glob of PNG, TIFF, JPEG, BMP files.",
    flag_values=_FLAGS,
)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "The .npz file for the weights.", flag_values=_FLAGS
)
_ITERATIONS = flags.DEFINE_integer(
    "iterations", 1000, "Length of the run.", flag_values=_FLAGS
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    64,
    "Pairs of patches in a step, each of which is shown in both orders.",
    flag_values=_FLAGS,
)
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate",
    0.01,
    "Rate of the first part of the run; it falls to a tenth twice.",
    flag_values=_FLAGS,
)
_LEVELS = flags.DEFINE_integer(
    "levels", 5, "Blurred versions of each photograph.", flag_values=_FLAGS
)
_PATCHES_PER_LEVEL = flags.DEFINE_integer(
    "patches_per_level",
    20,
    "Pairs of patches from a photograph and each of its blurred versions.",
    flag_values=_FLAGS,
)
_NUM_VAL_PHOTOGRAPHS = flags.DEFINE_integer(
    "num_val_photographs",
    10,
    "Photographs held out of train_dir to validate on.",
    flag_values=_FLAGS,
)
_SEED = flags.DEFINE_integer(
    "seed",
    0,
    "Decides the patches, their order and the initial kernels.",
    flag_values=_FLAGS,
)


def main() -> None:
    train_dir, path = _TRAIN_DIR.value, _WEIGHTS.value
    if not train_dir:
        raise UserError(
            "--train_dir is missing: expected a folder or a glob of photographs"
        )
    if not path:
        raise UserError("--weights is missing: expected the .npz file for the weights")
    from densefuse_tf.baselines import cnn_network
    from densefuse_tf.baselines import cnn_training
    from densefuse_tf.io import finding

    photographs = finding.find(train_dir)
    # Mistakes in the other flags are found before the network is trained.
    cnn_network.check_writable(path)
    startup.import_tensorflow()
    weights, accuracy = cnn_training.train(
        photographs,
        cnn_training.Settings(
            iterations=_ITERATIONS.value,
            batch_size=_BATCH_SIZE.value,
            learning_rate=_LEARNING_RATE.value,
            levels=_LEVELS.value,
            patches_per_level=_PATCHES_PER_LEVEL.value,
            num_val_photographs=_NUM_VAL_PHOTOGRAPHS.value,
            seed=_SEED.value,
        ),
    )
    cnn_network.write_weights(path, weights)
    print(f"{path}: {100 * accuracy:.2f} % of the validation patches told rightly")


def run(argv: list[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(run())
