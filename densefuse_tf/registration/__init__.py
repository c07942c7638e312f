"""Registration: pairs of images that are not aligned become pairs that are.

    found = registration.register(visible, infrared)
    if not found.accepted:
        raise UserError(found.reason)
    visible, infrared = registration.Alignment(found).align(visible, infrared)

See docs/registration.md.
"""

import importlib

# Names are loaded when they are first used, so that a look at whether a pair is aligned
# imports neither scikit-image nor SciPy.
_HOMES = {
    "UNCOVERED": "alignment",
    "Alignment": "alignment",
    "checkerboard": "alignment",
    "warp": "alignment",
    "Rectangle": "alignment",
    "common_area": "alignment",
    "placed": "camera",
    "looks_misaligned": "misalignment",
    "from_points": "points",
    "read_points": "points",
    "Registration": "registration",
    "register": "registration",
    "combine": "rig",
    "load": "storing",
    "save": "storing",
    "normalized_total_gradient": "registration",
}
# What a transform may do, each as much as the one before and more.
MODELS = ("translation", "similarity", "affine", "homography")

__all__ = ["MODELS", *_HOMES]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return sorted(__all__)
