"""Trains the autoencoder; see densefuse_tf/commands/train.py and --help."""

import sys

from densefuse_tf.commands import train

if __name__ == "__main__":
    sys.exit(train.run())
