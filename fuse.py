"""Fuses infrared and visible images; see densefuse_tf/commands/fuse.py and --help."""

import sys

from densefuse_tf.commands import fuse

if __name__ == "__main__":
    sys.exit(fuse.run())
