"""The state of TensorFlow in this process: whether it can compute, and how precisely.

Much of it belongs to the process, which may be somebody else's program.
"""

import contextlib
import os
import threading
from collections.abc import Iterator

import tensorflow as tf

from densefuse_tf.errors import UserError

# The process that has computed first; its forks cannot.
_process: int | None = None
# Guards the switch below, which is the process's.
_switch = threading.Condition()
_computing = 0
_before = True


def check() -> None:
    """Refuses to compute where TensorFlow would hang, or give no values.

    Raises:
      UserError: This process is a fork of one that has computed; or it is in a graph.
    """
    global _process
    if not tf.executing_eagerly():
        raise UserError(
            "TensorFlow does not compute eagerly here: expected a call outside of any "
            "tf.Graph and tf.function, without tf.compat.v1.disable_eager_execution()"
        )
    _process = _process or os.getpid()
    if _process != os.getpid():
        raise UserError(
            "this process is a fork of one in which TensorFlow has computed already, "
            "and would wait for ever: expected a spawned process, or one that was "
            "forked before (docs/embedding.md)"
        )


@contextlib.contextmanager
def precisely(*, tf32: bool = False) -> Iterator[None]:
    """Checks that TensorFlow can compute, and lets GPUs compute in full float32.

    On today's GPUs TensorFlow rounds what convolutions take to the 10 bits of TF32. The
    switch is the process's: it is set while the body computes, and set back when no
    thread computes any more. Threads that want it differently take turns.

    Args:
      tf32: Leave convolutions in TF32.
    """
    global _computing, _before
    check()
    config = tf.config.experimental
    with _switch:
        while _computing and config.tensor_float_32_execution_enabled() != tf32:
            _switch.wait()
        if not _computing:
            _before = config.tensor_float_32_execution_enabled()
            config.enable_tensor_float_32_execution(tf32)
        _computing += 1
    try:
        yield
    finally:
        with _switch:
            _computing -= 1
            if not _computing:
                config.enable_tensor_float_32_execution(_before)
                _switch.notify_all()
