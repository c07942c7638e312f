"""What the tests of live cameras share."""

import pytest

from densefuse_tf.cameras import pairing


@pytest.fixture(autouse=True)
def hurried(monkeypatch) -> None:
    """Waits shortly for sources that are silent for ever: their threads end with it."""
    monkeypatch.setattr(pairing, "_PATIENCE", 0.3)
