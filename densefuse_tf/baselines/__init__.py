"""The methods that the paper compares with, one file each, behind one protocol.

Importing this package registers them; see `densefuse_tf.baselines.method`.
"""

from densefuse_tf.baselines import cbf
from densefuse_tf.baselines import cnn
from densefuse_tf.baselines import dchwt
from densefuse_tf.baselines import deepfuse
from densefuse_tf.baselines import gtf
from densefuse_tf.baselines import jsr
from densefuse_tf.baselines import jsrsd
from densefuse_tf.baselines import wls
from densefuse_tf.baselines.method import Method
from densefuse_tf.baselines.method import check_not_constant
from densefuse_tf.baselines.method import check_pair
from densefuse_tf.baselines.method import check_positive
from densefuse_tf.baselines.method import create
from densefuse_tf.baselines.method import get
from densefuse_tf.baselines.method import method
from densefuse_tf.baselines.method import names
from densefuse_tf.baselines.method import needs_tensorflow
from densefuse_tf.baselines.method import options
from densefuse_tf.baselines.method import summary
from densefuse_tf.baselines.method import to_uint8

__all__ = [
    "Method",
    "cbf",
    "check_not_constant",
    "check_pair",
    "check_positive",
    "cnn",
    "create",
    "dchwt",
    "deepfuse",
    "get",
    "gtf",
    "jsr",
    "jsrsd",
    "method",
    "names",
    "needs_tensorflow",
    "options",
    "summary",
    "to_uint8",
    "wls",
]
