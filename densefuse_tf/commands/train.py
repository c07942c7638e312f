"""Trains the DenseFuse autoencoder on grey photographs (paper III-A, IV-A).

  train.py --train_dir=coco/train2014 --ssim_weight=100 --run_dir=runs/1e2
  train.py --train_dir=coco/train2014 --val_dir=coco/val2014 --recipe=release \\
      --ssim_weight=100 --run_dir=runs/release_1e2
  train.py --train_dir=coco/train2014 --network=deepfuse --run_dir=runs/deepfuse

--network=deepfuse trains the network that fuse.py --method=deepfuse uses.
The same command goes on with an interrupted run; Ctrl-C and SIGTERM save it. The folder
receives model.keras, best.keras (the weights at the point of the curves with the lowest
validation loss), history.csv, config.json, validation.json and TensorBoard logs.
"""

import os
import sys

from absl import flags

from densefuse_tf import extras
from densefuse_tf import startup
from densefuse_tf.commands import common_flags
from densefuse_tf.commands import runner
from densefuse_tf.training.settings import TrainingSettings

_FLAGS = flags.FlagValues()
common_flags.define(TrainingSettings, _FLAGS)
_RUN_DIR = common_flags.define_path(
    "run_dir", "The run's folder: results and state.", _FLAGS
)


def main() -> None:
    settings = common_flags.read(TrainingSettings, _FLAGS)
    run_dir = common_flags.required(_RUN_DIR, "the folder for the results")
    settings.check()
    extras.require("train", "training")
    startup.import_tensorflow()
    from densefuse_tf.training.run import TrainingRun

    multi_worker = "TF_CONFIG" in os.environ
    TrainingRun(settings, run_dir, multi_worker=multi_worker).train()


def run(argv: list[str] | None = None) -> int:
    """Runs the command `densefuse-train` and returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(run())
