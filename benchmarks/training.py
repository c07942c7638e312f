"""Measures the speed of a training step and of the input pipeline that feeds it.

  python benchmarks/training.py --train_dir=coco/train2014

The step is compared with the rate of a float32 matrix product that TensorFlow reaches
in the same run, the two timed in turn; the pipeline, alone, with what the step takes.
"""

import statistics
import sys
import time

import measuring  # noqa: F401
from absl import flags

from densefuse_tf import startup
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError

_FLAGS = flags.FlagValues()
_TRAIN_DIR = flags.DEFINE_string(
    "train_dir", None, "Photographs, as for train.py.", flag_values=_FLAGS
)
_STEPS = flags.DEFINE_integer(
    "steps", 20, "How many steps to time.", flag_values=_FLAGS
)
_MATRIX = flags.DEFINE_integer(
    "matrix", 2048, "Rows and columns of the matrices.", flag_values=_FLAGS
)
_BATCH_SIZE = 2
_SIZE = 256
# Table I: multiply-adds of a pixel through encoder and decoder.
_MULTIPLY_ADDS = 74_016


def main() -> None:
    if _TRAIN_DIR.value is None:
        raise UserError("--train_dir is missing")
    startup.import_tensorflow()
    import numpy as np
    import tensorflow as tf

    from densefuse_tf.training import photographs
    from densefuse_tf.training.settings import TrainingSettings
    from densefuse_tf.training.trainer import Trainer

    source = photographs.Photographs(photographs.find_photographs(_TRAIN_DIR.value))
    batches = source.training_batches(_BATCH_SIZE)
    data = next(iter(batches))
    trainer = Trainer(TrainingSettings(_TRAIN_DIR.value))
    matrix = tf.random.normal([_MATRIX.value, _MATRIX.value])
    multiply = tf.function(lambda a: tf.matmul(a, a))

    def seconds(function, argument) -> float:
        start = time.perf_counter()
        tf.nest.map_structure(np.asarray, function(argument))
        return time.perf_counter() - start

    for _ in range(3):
        seconds(trainer.step, data)
        seconds(multiply, matrix)
    steps, products = [], []
    for _ in range(_STEPS.value):
        products.append(seconds(multiply, matrix))
        steps.append(seconds(trainer.step, data))
    step_seconds = statistics.median(steps)
    # Forward once, backward twice: gradients of the maps and of the kernels.
    step_work = 3 * 2 * _MULTIPLY_ADDS * _BATCH_SIZE * _SIZE**2
    step_rate = step_work / step_seconds
    product_rate = 2 * _MATRIX.value**3 / statistics.median(products)
    print(
        f"training step, batch {_BATCH_SIZE}: {step_seconds:.3f} s, "
        f"{step_rate / 1e9:.0f} GFLOP/s; matrix product {product_rate / 1e9:.0f} "
        f"GFLOP/s; ratio {step_rate / product_rate:.2f}"
    )
    iterator = iter(batches)
    next(iterator)
    count = 10 * _STEPS.value
    start = time.perf_counter()
    for _ in range(count):
        next(iterator)
    pipeline = count * _BATCH_SIZE / (time.perf_counter() - start)
    consumed = _BATCH_SIZE / step_seconds
    print(
        f"input pipeline alone: {pipeline:.0f} images/s; the step takes "
        f"{consumed:.1f}; ratio {pipeline / consumed:.0f}"
    )


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
