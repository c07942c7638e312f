"""lambda of the training loss (Eq. 1), by which the trained models are named."""

import os
from typing import Any

from densefuse_tf import naming

# lambda of L = lambda * L_ssim + L_p (Eq. 1), by the short name of its checkpoint.
SSIM_WEIGHTS = {"1e0": 1.0, "1e1": 10.0, "1e2": 100.0, "1e3": 1000.0}
SHORT_NAMES = tuple(SSIM_WEIGHTS)


def list_checkpoints() -> tuple[str, ...]:
    """Returns the short names of the trained models that come with the package."""
    return SHORT_NAMES


def short_name(checkpoint: object) -> str | None:
    """Returns the short name that is meant: "1e2" by "1e2", "1E2", "100" or 100.

    None where it is another checkpoint.
    """
    weight = _number(checkpoint)
    return next((n for n, each in SSIM_WEIGHTS.items() if each == weight), None)


def file_name(short_name: str) -> str:
    """Returns the name of the file of a trained model."""
    return f"densefuse_{short_name}.keras"


def did_you_mean(checkpoint: object) -> str:
    """Returns the end of an error that names the nearest short name; "" if none is.

    A number is no misspelt name.
    """
    if _number(checkpoint) is not None:
        return ""
    return naming.did_you_mean(checkpoint, SHORT_NAMES)


def _number(given: Any) -> float | None:
    try:
        return float(os.fspath(given) if isinstance(given, os.PathLike) else given)
    except (TypeError, ValueError, OverflowError):
        return None
