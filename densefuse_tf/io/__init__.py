"""Reads and writes images, videos and tables."""

import lazy_loader as _lazy_loader

# The names stand in __init__.pyi, each of which is loaded when it is first used.
__getattr__, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)
