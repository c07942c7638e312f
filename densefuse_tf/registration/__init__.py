"""Registration: pairs of images that are not aligned become pairs that are.

    found = registration.register(visible, infrared)
    if not found.accepted:
        raise UserError(found.reason)
    visible, infrared = registration.Alignment(found).align(visible, infrared)

See docs/registration.md.
"""

from densefuse_tf.registration.alignment import UNCOVERED
from densefuse_tf.registration.alignment import Alignment
from densefuse_tf.registration.alignment import checkerboard
from densefuse_tf.registration.alignment import warp
from densefuse_tf.registration.area import Rectangle
from densefuse_tf.registration.area import common_area
from densefuse_tf.registration.misalignment import looks_misaligned
from densefuse_tf.registration.points import from_points
from densefuse_tf.registration.points import read_points
from densefuse_tf.registration.registration import Registration
from densefuse_tf.registration.registration import register
from densefuse_tf.registration.rig import combine
from densefuse_tf.registration.storing import load
from densefuse_tf.registration.storing import save
from densefuse_tf.registration.total_gradient import normalized_total_gradient
from densefuse_tf.registration.transforms import MODELS

__all__ = [
    "MODELS",
    "UNCOVERED",
    "Alignment",
    "Rectangle",
    "Registration",
    "checkerboard",
    "combine",
    "common_area",
    "from_points",
    "load",
    "looks_misaligned",
    "normalized_total_gradient",
    "read_points",
    "register",
    "save",
    "warp",
]
