"""Where a training runs: the CPU, one GPU, several, or several machines."""

import tensorflow as tf
from absl import logging

from densefuse_tf.errors import UserError


def choose_strategy(
    batch_size: int, *, multi_worker: bool = False, deterministic: bool = False
) -> tf.distribute.Strategy:
    """Chooses the GPUs there are, else the CPU, and logs which.

    Must run before TensorFlow computes anything. GPU memory is taken as it is needed.

    Args:
      batch_size: As many of this machine's GPUs are used as can have equal shares of
        a batch.
      multi_worker: Join the workers that the environment's TF_CONFIG names.
      deterministic: Make the process compute the same bits each time on a GPU.
    """
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    used = len(gpus)
    if not multi_worker:
        used = max((n for n in range(1, used + 1) if batch_size % n == 0), default=0)
    if multi_worker:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        resolver = strategy.cluster_resolver
        logging.info(
            "%s %d of TF_CONFIG's cluster", resolver.task_type, resolver.task_id
        )
    elif used > 1:
        names = [f"GPU:{number}" for number in range(used)]
        strategy = tf.distribute.MirroredStrategy(names)
    elif gpus:
        strategy = tf.distribute.OneDeviceStrategy("/GPU:0")
    else:
        strategy = tf.distribute.get_strategy()
    if gpus:
        logging.info(
            "training on %d of %d GPU(s), which share batches of %d",
            used,
            len(gpus),
            batch_size,
        )
        if not deterministic:
            logging.info(
                "a resumed run will differ from one without a break in the last bits; "
                "with deterministic it does not"
            )
    else:
        logging.info("no GPU: training on the CPU")
    return strategy


def check_shares(batch_size: int, num_replicas: int) -> None:
    """Refuses a batch of which the replicas cannot get equal parts."""
    if batch_size % num_replicas:
        raise UserError(
            f"batch_size is {batch_size}: expected a multiple of {num_replicas}, as "
            "many devices of the cluster share a batch"
        )


def log_placement(strategy: tf.distribute.Strategy, variable: tf.Variable) -> None:
    """Logs where a variable lies and a step computes, where devices share the work."""
    if strategy.num_replicas_in_sync == 1:
        return
    with strategy.scope():
        probe = tf.function(lambda: variable + 0.0, autograph=False)
        outputs = strategy.experimental_local_results(strategy.run(probe))
    logging.info(
        "%s: variables on %s; a step runs on %s",
        type(strategy).__name__,
        variable.device,
        ", ".join(output.device for output in outputs),
    )
