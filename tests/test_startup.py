"""TensorFlow is imported without its remarks, and errors come through."""

import os
import subprocess
import sys
import threading

import pytest

from densefuse_tf import startup
from densefuse_tf.errors import UserError

REMARKS = b"""\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1796050636.725429   11568 port.cc:153] oneDNN custom operations are on.
To enable the following instructions: AVX2 FMA, in other operations, rebuild it.
E0000 00:00:1796050678.566553   11568 cuda_platform.cc:52] failed call to cuInit: ERROR
2026-11-30 15:00:00.123456: I tensorflow/core/util/port.cc:153] oneDNN is on.
"""
ERRORS = b"""\
E0000 00:00:1796050678.566553   11568 cuda_dnn.cc:52] Loaded cuDNN 8, expected 9
Illegal instruction
"""


# What a program prints by its own import is the program's.
TENSORFLOW_FIRST = (
    "import os; kept = os.dup(2); os.dup2(os.open(os.devnull, os.O_WRONLY), 2); "
    "import tensorflow; os.dup2(kept, 2); "
)


@pytest.mark.parametrize(
    "before", ("", pytest.param(TENSORFLOW_FIRST, marks=pytest.mark.guard))
)
def test_the_first_fusion_in_python_prints_nothing(before):
    code = before + (
        "import numpy as np, densefuse_tf; "
        "pair = [np.eye(8, dtype=np.uint8) * 255] * 2; "
        "densefuse_tf.fuse(pair); densefuse_tf.Fuser(preset='camera').fuse(pair)"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_errors_come_through_when_remarks_are_hidden(capfd):
    with startup.hushed(only=startup._REMARK.match):
        os.write(2, REMARKS + ERRORS)
    assert capfd.readouterr().err == ERRORS.decode()
    with pytest.raises(ZeroDivisionError):
        with startup.hushed(only=startup._REMARK.match):
            os.write(2, REMARKS)
            1 / 0  # noqa: B018
    assert capfd.readouterr().err == REMARKS.decode()
    with pytest.raises(UserError):
        with startup.hushed(only=startup._REMARK.match):
            os.write(2, REMARKS)
            raise UserError("a mistake")
    assert capfd.readouterr().err == ""


def test_threads_that_hush_at_once_leave_standard_error_as_it_was():
    """The one that begins first ends first."""
    both, first_is_out = threading.Barrier(2, timeout=30), threading.Event()
    before = os.fstat(2)

    def second():
        both.wait()
        with startup.hushed():
            both.wait()
            first_is_out.wait(30)

    thread = threading.Thread(target=second)
    thread.start()
    with startup.hushed():
        both.wait()
        both.wait()
    first_is_out.set()
    thread.join()
    assert os.path.samestat(os.fstat(2), before)
