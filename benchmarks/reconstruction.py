"""Measures how well trained models reconstruct photographs.

The figures are the means of pixel loss, SSIM and squared error.

  python benchmarks/reconstruction.py --images=coco/val2014 --skip=1000 \\
      --checkpoint=1e0 --checkpoint=1e1 --checkpoint=1e2 --checkpoint=1e3

Photographs are read as in training: grey, 256x256, nearest neighbour.
"""

import sys

import measuring  # noqa: F401
from absl import flags

from densefuse_tf import startup
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError

_FLAGS = flags.FlagValues()
_IMAGES = flags.DEFINE_string(
    "images",
    None,
    "Photographs, a folder tree or a glob as train.py takes them.",
    flag_values=_FLAGS,
)
_SKIP = flags.DEFINE_integer(
    "skip",
    0,
    "Leave out this many photographs, the first in sorted order: those that the "
    "training validated on.",
    flag_values=_FLAGS,
)
_COUNT = flags.DEFINE_integer(
    "count",
    None,
    "Take no more photographs than this; by default all.",
    1,
    flag_values=_FLAGS,
)
_CHECKPOINT = flags.DEFINE_multi_string(
    "checkpoint",
    ["1e2"],
    "A checkpoint, as fuse.py takes it; given once for each model.",
    flag_values=_FLAGS,
)


def main() -> None:
    if _IMAGES.value is None:
        raise UserError("--images is missing")
    startup.import_tensorflow()
    import tensorflow as tf

    from densefuse_tf.model import checkpoints
    from densefuse_tf.training import losses
    from densefuse_tf.training import photographs

    paths = photographs.find_photographs(_IMAGES.value)[_SKIP.value :][: _COUNT.value]
    source = photographs.Photographs(paths)
    source.require(1)
    for checkpoint in _CHECKPOINT.value:
        model = tf.function(checkpoints.load_autoencoder(checkpoint))
        figures = []
        for images, _ in source.validation_batches(2):
            outputs = model(images)
            of_batch = [
                measure(images, outputs)
                for measure in (losses.euclidean, losses.full_ssim, losses.mean_squared)
            ]
            figures.append(tf.stack(of_batch, axis=1))
        pixel, ssim, error = tf.reduce_mean(tf.concat(figures, 0), 0).numpy()
        count = len(paths) - source.num_corrupt
        print(
            f"{checkpoint}: pixel loss {pixel:.1f}, SSIM {ssim:.5f}, "
            f"mean squared error {error:.3f} over {count} photographs"
        )


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
