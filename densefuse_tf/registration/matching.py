"""Finds the transform under which the edges of two images match best.

1. All scales, rotations and shifts are tried at small size (`search`), from the fixed
   to the moving image and the other way.
2. Each distinct candidate is refined (`refine`) as a similarity and, if it stands out
   from its surroundings, as an affine transform.
3. The three that stand out most are refined at a finer level.
4. The one that then stands out most is refined at the finest level, both ways, from
   several starts close by. The objective has several maxima within a pixel or two, as
   the edges of a thermal and a visible image are not the same, and where a climb ends
   depends on chance: the mean of the ends varies less than each of them.
"""

import concurrent.futures
import dataclasses
from collections.abc import Sequence

import numpy as np

from densefuse_tf.registration import fields
from densefuse_tf.registration import search
from densefuse_tf.registration import transforms
from densefuse_tf.registration.refine import Refiner
from densefuse_tf.registration.search import Candidate

# Height times width at which images are searched, refined and refined at last.
_COARSE, _FINE, FINEST = 160 * 120, 320 * 240, 480 * 360
# Smoothing of the fields, in pixels of the level: for a similarity, and from then on.
_WIDE, _NARROW = 1.5, 1.0
# Shares of the smaller image that have to overlap in the search and while refining.
_SEARCH_OVERLAP, _OVERLAP = 0.6, 0.5
_CANDIDATES, _AFFINE, _FINALISTS = 12, 4, 3
# Starts of the last refinement, and how far they lie apart: the standard deviation of
# the corners, a share of the diagonal.
_STARTS, _APART = 4, 0.004


@dataclasses.dataclass(frozen=True)
class Found:
    """A transform that was refined both ways; see `registration.Registration`."""

    matrix: np.ndarray
    score: float
    consistency: float
    distinctness: float


def find(
    grays: Sequence[np.ndarray],
    shapes: tuple[tuple[int, int], tuple[int, int]],
    factors: np.ndarray,
    angles: np.ndarray,
    model: str,
) -> Found | None:
    """Finds the transform from the fixed to the moving image.

    Args:
      grays: The fixed and the moving image, [h, w] float32, of `FINEST` pixels at most.
      shapes: Heights and widths of both at full size.
      factors: Scales to search: pixels of the moving image for one of the fixed image,
        both at full size.
      angles: Rotations to search, in degrees.
      model: One of `transforms.MODELS`.

    Returns:
      What was found, or None where edges match nowhere.
    """
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        forth = pool.submit(_coarse, grays, shapes, factors, angles, model)
        back = pool.submit(
            _coarse, grays[::-1], shapes[::-1], 1 / factors, -angles, model
        )
        starts = forth.result() + [
            Candidate(np.linalg.inv(start.matrix), start.score)
            for start in back.result()
        ]
        starts.sort(key=lambda start: -start.score)
        starts = search.distinct(starts, shapes[0], _FINALISTS)
        if not starts:
            return None
        fine = _refiners(grays, shapes, _FINE, _NARROW, both=False)[0]
        refined = pool.map(lambda start: fine.run(start.matrix, model)[0], starts)
        best = max(refined, key=fine.distinctness)
        return _both_ways(pool, _refiners(grays, shapes, FINEST, _NARROW), best, model)


def _coarse(
    grays: Sequence[np.ndarray],
    shapes: tuple[tuple[int, int], tuple[int, int]],
    factors: np.ndarray,
    angles: np.ndarray,
    model: str,
) -> list[Candidate]:
    """Steps 1 and 2 of the module's list; the score is the distinctness."""
    found = search.candidates(
        fields.shrink(grays[0], _FINE),
        fields.shrink(grays[1], _FINE),
        shapes=shapes,
        pixels=_COARSE,
        scales=factors,
        rotations=angles,
        overlap=_SEARCH_OVERLAP,
        count=_CANDIDATES,
    )
    first = "translation" if model == "translation" else "similarity"
    second = first if model in ("translation", "similarity") else "affine"
    points = transforms.corners(shapes[0])
    starts = []
    for candidate in found:
        # The levels' sides are rounded: what the search finds is nearly a similarity.
        mapped = transforms.apply(candidate.matrix, points)
        matrix = transforms.fit(points, mapped, first)
        if matrix is not None:
            starts.append(Candidate(matrix, 0.0))
    for stage, smoothing, count in (
        (first, _WIDE, _AFFINE),
        (second, _NARROW, _FINALISTS),
    ):
        refiner = _refiners(grays, shapes, _COARSE, smoothing, both=False)[0]
        refined = [refiner.run(start.matrix, stage) for start in starts]
        starts = [
            Candidate(matrix, refiner.distinctness(matrix))
            for matrix, score in refined
            if score > -1
        ]
        starts.sort(key=lambda start: -start.score)
        starts = search.distinct(starts, shapes[0], count)
    return starts


def _refiners(
    grays: Sequence[np.ndarray],
    shapes: tuple[tuple[int, int], tuple[int, int]],
    size: int,
    smoothing: float,
    both: bool = True,
) -> list[Refiner]:
    """Refiners from the fixed to the moving image and, if `both`, the other way."""
    # At one size, so that neither image is the blurred one.
    size = min(size, grays[0].size, grays[1].size)
    fixed, moving = (
        fields.level(fields.shrink(gray, size), shape)
        for gray, shape in zip(grays, shapes, strict=True)
    )
    ways = [(fixed, moving), (moving, fixed)][: 1 + both]
    return [Refiner(*way, smoothing=smoothing, overlap=_OVERLAP) for way in ways]


def _both_ways(
    pool: concurrent.futures.Executor,
    refiners: Sequence[Refiner],
    start: np.ndarray,
    model: str,
) -> Found:
    """Refines a transform and, apart from it, its inverse, each from several starts."""
    shape = refiners[0].shape
    starts = _around(start, shape, model)
    inverses = [np.linalg.inv(one) for one in starts]
    climbs = [
        [pool.submit(refiner.run, one, model) for one in way]
        for refiner, way in zip(refiners, (starts, inverses), strict=True)
    ]
    forth, back = (
        [matrix for matrix, score in (climb.result() for climb in way) if score > -1]
        for way in climbs
    )
    forth, back = forth or [start], [np.linalg.inv(one) for one in back] or [start]
    matrix = _mean(forth + back, shape, model)
    ways = [(refiners[0], matrix), (refiners[1], np.linalg.inv(matrix))]
    return Found(
        matrix,
        min(refiner.score(way) for refiner, way in ways),
        transforms.distance(
            _mean(forth, shape, model), _mean(back, shape, model), shape
        ),
        min(refiner.distinctness(way) for refiner, way in ways),
    )


def _around(start: np.ndarray, shape: tuple[int, int], model: str) -> list[np.ndarray]:
    """Returns a transform and others that differ from it by a few pixels."""
    points = transforms.corners(shape)
    random = np.random.default_rng(0)
    starts = [start]
    for _ in range(_STARTS - 1):
        moved = points + random.normal(0, _APART * np.hypot(*shape), points.shape)
        matrix = transforms.fit(points, transforms.apply(start, moved), model)
        if matrix is not None:
            starts.append(matrix)
    return starts


def _mean(
    matrices: Sequence[np.ndarray], shape: tuple[int, int], model: str
) -> np.ndarray:
    """Returns the transform of the mean of the places of the corners."""
    points = transforms.corners(shape)
    places = np.mean([transforms.apply(matrix, points) for matrix in matrices], axis=0)
    matrix = transforms.fit(points, places, model)
    return matrices[0] if matrix is None else matrix
