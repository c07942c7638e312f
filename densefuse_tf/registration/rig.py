"""One transform for a rigid rig, from the registrations of several pairs."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.registration import transforms
from densefuse_tf.registration.registration import Registration

# A share of the fixed image's diagonal.
MAX_SPREAD = 0.01


def combine(registrations: Sequence[Registration]) -> Registration:
    """Takes the median of the accepted ones of several registrations.

    The median is that of the places to which each sends the corners of the fixed image,
    so that a few wrong ones among them do no harm.

    Args:
      registrations: One or more, of pairs from the same two cameras, with one model.

    Returns:
      The registration of the rig; `consistency` is the largest distance of an accepted
      one from it, the other measures are medians. It is accepted if more than half of
      the given ones are and lie within `MAX_SPREAD` of it.

    Raises:
      UserError: None is given, none is accepted, or sizes or models differ.
    """
    if not registrations:
        raise UserError("no registration to combine: expected one or more")
    first = registrations[0]
    for other in registrations:
        for key, what in (
            ("fixed_shape", "sizes (height x width) of the fixed image"),
            ("moving_shape", "sizes (height x width) of the moving image"),
            ("model", "models"),
        ):
            one, two = getattr(first, key), getattr(other, key)
            if one != two:
                if isinstance(one, tuple):
                    one, two = ("x".join(map(str, size)) for size in (one, two))
                raise UserError(
                    f"registrations to combine have different {what}: {one} and {two}: "
                    "expected those of one rig"
                )
    accepted = [one for one in registrations if one.accepted]
    if not accepted:
        raise UserError(
            f"none of {len(registrations)} registrations is accepted: the first: "
            f"{first.reason}"
        )
    points = transforms.corners(first.fixed_shape)
    mapped = np.median(
        [transforms.apply(one.matrix, points) for one in accepted], axis=0
    )
    matrix = transforms.fit(points, mapped, first.model)
    if matrix is None:
        raise UserError("the registrations have no median: expected those of one rig")
    distances = [
        transforms.distance(one.matrix, matrix, first.fixed_shape) for one in accepted
    ]
    limit = MAX_SPREAD * float(np.hypot(*first.fixed_shape))
    near = sum(distance <= limit for distance in distances)
    reason = None
    if 2 * near <= len(registrations):
        reason = (
            f"only {near} of {len(registrations)} pairs agree on one transform within "
            f"{limit:.1f} pixels: expected more than half"
        )
    return dataclasses.replace(
        first,
        transform=transforms.of_matrix(matrix, first.model),
        total_gradient=None,
        score=_median([one.score for one in accepted]),
        consistency=float(max(distances)),
        distinctness=_median([one.distinctness for one in accepted]),
        reason=reason,
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
