"""Exports a model for serving; see densefuse_tf/commands/export.py and --help."""

import sys

from densefuse_tf.commands import export

if __name__ == "__main__":
    sys.exit(export.run())
