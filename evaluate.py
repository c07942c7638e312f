"""Evaluates fused images, or all of Table II; see densefuse_tf/commands/evaluate.py."""

import sys

from densefuse_tf.commands import evaluate

if __name__ == "__main__":
    sys.exit(evaluate.run())
