"""Reads and writes images, videos and tables."""

import lazy_loader as _lazy_loader

# Each is imported when it is first used.
__getattr__, __dir__, __all__ = _lazy_loader.attach(
    __name__, submodules=["finding", "images", "pixels", "temperatures", "video"]
)
