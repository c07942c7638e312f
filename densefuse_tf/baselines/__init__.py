"""The methods that the paper compares with, one file each, behind one protocol.

Importing this package registers them; see `densefuse_tf.baselines.method`.
"""

from densefuse_tf.baselines.method import Method
from densefuse_tf.baselines.method import check_pair
from densefuse_tf.baselines.method import create
from densefuse_tf.baselines.method import get
from densefuse_tf.baselines.method import method
from densefuse_tf.baselines.method import names
from densefuse_tf.baselines.method import summary

__all__ = ["Method", "check_pair", "create", "get", "method", "names", "summary"]
