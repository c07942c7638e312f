"""Trains the DenseFuse autoencoder on grey photographs (paper III-A, IV-A).

  train.py --train_dir=coco/train2014 --ssim_weight=100 --run_dir=runs/1e2
  train.py --train_dir=coco/train2014 --val_dir=coco/val2014 --recipe=release \\
      --ssim_weight=100 --run_dir=runs/release_1e2

The same command goes on with an interrupted run. The run's folder receives model.keras,
best.keras (the weights at the point of the curves with the lowest validation loss),
history.csv, config.json, validation.json and TensorBoard logs.
"""

import os
import sys

from absl import flags

from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError

_FLAGS = flags.FlagValues()
_TRAIN_DIR = flags.DEFINE_string(
    "train_dir",
    None,
    "Photographs to train on: a folder tree or a glob of JPEG, PNG, BMP files.",
    flag_values=_FLAGS,
)
_VAL_DIR = flags.DEFINE_string(
    "val_dir",
    None,
    "Photographs to validate on; by default num_val_images held out of train_dir.",
    flag_values=_FLAGS,
)
_NUM_VAL_IMAGES = flags.DEFINE_integer(
    "num_val_images",
    1000,
    "How many photographs to validate on: the first of val_dir, or as many drawn "
    "from train_dir.",
    flag_values=_FLAGS,
)
_NUM_CURVE_IMAGES = flags.DEFINE_integer(
    "num_curve_images",
    None,
    "How many of them make a point of the validation curve, which on a CPU takes its "
    "time; by default all. The end of the run takes all in any case.",
    flag_values=_FLAGS,
)
_RUN_DIR = flags.DEFINE_string(
    "run_dir", None, "The run's folder: results and state.", flag_values=_FLAGS
)
_RECIPE = flags.DEFINE_string(
    "recipe",
    "paper",
    "paper, or release: as the published weights were made.",
    flag_values=_FLAGS,
)
_SSIM_WEIGHT = flags.DEFINE_float(
    "ssim_weight", 100.0, "lambda of Eq. 1.", flag_values=_FLAGS
)
_EPOCHS = flags.DEFINE_integer("epochs", 4, "Length of the run.", flag_values=_FLAGS)
_ITERATIONS = flags.DEFINE_integer(
    "iterations", None, "Length of the run, instead of epochs.", flag_values=_FLAGS
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 2, "Images per step, over all devices.", flag_values=_FLAGS
)
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", 1e-4, "Of Adam.", flag_values=_FLAGS
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of the kernels, the order and random crops.", flag_values=_FLAGS
)
_VAL_EVERY = flags.DEFINE_integer(
    "val_every", 100, "Iterations between points of the curves.", flag_values=_FLAGS
)
_SAVE_EVERY = flags.DEFINE_integer(
    "save_every", 500, "Iterations between saves.", flag_values=_FLAGS
)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", 256, "Height and width of the crops.", flag_values=_FLAGS
)
_RESIZE = flags.DEFINE_string(
    "resize",
    "nearest",
    "How a photograph is resized: nearest (the release), bilinear, bicubic, area.",
    flag_values=_FLAGS,
)
_RANDOM_CROP = flags.DEFINE_bool(
    "random_crop",
    False,
    "Cut a random square out instead of squashing the photograph to one.",
    flag_values=_FLAGS,
)
_CACHE = flags.DEFINE_string(
    "cache",
    None,
    "Keep the grey crops: 'memory', or the name of a file.",
    flag_values=_FLAGS,
)
_MIXED_PRECISION = flags.DEFINE_string(
    "mixed_precision",
    "none",
    "float16 (GPUs) or bfloat16 for the network's inner layers.",
    flag_values=_FLAGS,
)
_XLA = flags.DEFINE_bool("xla", False, "Compile the step with XLA.", flag_values=_FLAGS)


def main() -> None:
    for flag, expected in (
        (_TRAIN_DIR, "a folder tree or a glob of photographs"),
        (_RUN_DIR, "the folder for what the run writes"),
    ):
        if not flag.value:
            raise UserError(f"--{flag.name} is missing: expected {expected}")
    runner.import_tensorflow()
    from densefuse_tf.training import training

    training.Run(
        training.Settings(
            train_dir=_TRAIN_DIR.value,
            val_dir=_VAL_DIR.value,
            num_val_images=_NUM_VAL_IMAGES.value,
            num_curve_images=_NUM_CURVE_IMAGES.value,
            recipe=_RECIPE.value,
            ssim_weight=_SSIM_WEIGHT.value,
            epochs=_EPOCHS.value,
            iterations=_ITERATIONS.value,
            batch_size=_BATCH_SIZE.value,
            learning_rate=_LEARNING_RATE.value,
            seed=_SEED.value,
            val_every=_VAL_EVERY.value,
            save_every=_SAVE_EVERY.value,
            image_size=_IMAGE_SIZE.value,
            resize=_RESIZE.value,
            random_crop=_RANDOM_CROP.value,
            cache=_CACHE.value,
            mixed_precision=_MIXED_PRECISION.value,
            xla=_XLA.value,
        ),
        _RUN_DIR.value,
        multi_worker="TF_CONFIG" in os.environ,
    ).train()


def run(argv: list[str] | None = None) -> int:
    """The command `densefuse-train`; returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(run())
