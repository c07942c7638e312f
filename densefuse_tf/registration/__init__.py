"""Registration: pairs of images that are not aligned become pairs that are.

    found = registration.register(visible, infrared)
    if not found.accepted:
        raise UserError(found.reason)
    visible, infrared = registration.Alignment(found).align(visible, infrared)

See docs/registration.md.
"""

import lazy_loader as _lazy_loader

# The names stand in __init__.pyi. They are loaded when they are first used, so
# that a look at whether a pair is aligned imports neither scikit-image nor SciPy.
__getattr__, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)
