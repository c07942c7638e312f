"""Choices that are tried with one another."""

from collections.abc import Sequence

import pytest


def each_with_each(some: Sequence, others: Sequence) -> list:
    """Pairs of choices: each of either is tried, and each with each is a guard."""
    return [
        pytest.param(
            one, other, marks=[pytest.mark.guard] if (i - j) % len(others) else []
        )
        for i, one in enumerate(some)
        for j, other in enumerate(others)
    ]
