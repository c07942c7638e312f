"""What all tests share."""

import pathlib

import pytest

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder ../shared beside the checkout; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (TNO pairs, the release's checkpoints), not here")
    return SHARED
