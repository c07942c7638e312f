"""The methods that the paper compares with, one file each, behind one protocol.

The file of a method is imported when the method is asked for; see
`densefuse_tf.baselines.method`.
"""

import importlib
import types

from densefuse_tf.baselines.method import Method
from densefuse_tf.baselines.method import check_not_constant
from densefuse_tf.baselines.method import check_pair
from densefuse_tf.baselines.method import check_positive
from densefuse_tf.baselines.method import create
from densefuse_tf.baselines.method import get
from densefuse_tf.baselines.method import method
from densefuse_tf.baselines.method import names
from densefuse_tf.baselines.method import registered
from densefuse_tf.io.pixels import matlab_uint8

__all__ = [
    "Method",
    "check_not_constant",
    "check_pair",
    "check_positive",
    "create",
    "get",
    "matlab_uint8",
    "method",
    "names",
    "registered",
]


def __getattr__(name: str) -> types.ModuleType:
    if name in names():
        return importlib.import_module(get(name).__module__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *names()})
