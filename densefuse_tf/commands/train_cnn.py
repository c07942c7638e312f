"""Trains the network of the CNN baseline on photographs, sharp and blurred.

  python -m densefuse_tf.commands.train_cnn --train_dir=photographs \\
      --patches_per_level=250 --weights=cnn.npz

Writes the weights as an .npz file, which the option `checkpoint` of the method cnn
reads.
"""

import sys

from absl import flags

from densefuse_tf import startup
from densefuse_tf.baselines import cnn_network
from densefuse_tf.baselines import cnn_training
from densefuse_tf.baselines.cnn_training import CnnTrainingSettings
from densefuse_tf.commands import common_flags
from densefuse_tf.commands import progress
from densefuse_tf.commands import runner
from densefuse_tf.io import finding

_FLAGS = flags.FlagValues()
_TRAIN_DIR = common_flags.define_path(
    "train_dir",
    "Photographs to train on: a folder or a glob of PNG, TIFF, JPEG, BMP files.",
    _FLAGS,
)
_WEIGHTS = common_flags.define_path("weights", "The .npz file for the weights.", _FLAGS)
common_flags.define(CnnTrainingSettings, _FLAGS)


def main() -> None:
    required = common_flags.required
    train_dir = required(_TRAIN_DIR, "a folder or a glob of photographs")
    path = required(_WEIGHTS, "the .npz file for the weights")
    photographs = finding.find(train_dir)
    # Mistakes in the other flags are found before the network is trained.
    cnn_network.check_writable(path)
    startup.import_tensorflow()
    settings = common_flags.read(CnnTrainingSettings, _FLAGS)
    weights, accuracy = cnn_training.train(photographs, settings)
    cnn_network.write_weights(path, weights)
    told = f"{100 * accuracy:.2f} % of the validation patches told rightly"
    progress.say(f"{path}: {told}")


def run(argv: list[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(run())
