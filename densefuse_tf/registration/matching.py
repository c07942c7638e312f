"""Finds the transform under which the edges of two images match best.

1. All scales, rotations and shifts are tried at small size (`search`), the image that
   shows less turned and shifted over the other one.
2. Each distinct candidate is refined (`refine`) as a similarity and, if it stands out
   from its surroundings, as an affine transform. From here on the parts of both images
   are compared that show the same, at one size: where one camera sees more than the
   other, the rest of its image takes no part.
3. The two that stand out most are refined at a finer level.
4. The one that then stands out most is refined at the finest level, both ways, from
   several starts close by. The objective has several maxima within a pixel or two, as
   the edges of a thermal and a visible image are not the same, and where a climb ends
   depends on chance: the mean of the ends varies less than each of them.
"""

import concurrent.futures
import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from densefuse_tf.registration import fields
from densefuse_tf.registration import search
from densefuse_tf.registration import transforms
from densefuse_tf.registration.refine import Refiner
from densefuse_tf.registration.search import Candidate
from densefuse_tf.registration.search import Shapes

# Height times width at which the shared part is searched, refined and refined at last.
_COARSE, _FINE, _FINEST = 160 * 120, 320 * 240, 480 * 360
# Larger images are used as copies of this size, which is more than the finest search
# needs: the shared part of the image that shows more may be small.
LARGEST = 4 * _FINEST
# What is compared around the shared part, as a share of its sides.
_MARGIN = 0.15
# Smoothing of the fields, in pixels of the level: for a similarity, and from then on.
_WIDE, _NARROW = 1.5, 1.0
# Shares of the smaller image that have to overlap in the search and while refining.
_SEARCH_OVERLAP, _OVERLAP = 0.6, 0.5
_CANDIDATES, _AFFINE, _FINALISTS = 8, 3, 2
# A place lies as far from a guess, as a share of the sides of the image that shows
# less, at most.
_REACH = 0.3
_BENT = "homography"
# Starts of the last refinement, and how far they lie apart: the standard deviation of
# the corners, a share of the diagonal.
_STARTS, _APART = 4, 0.004


@dataclasses.dataclass(frozen=True)
class Found:
    """A transform that was refined both ways; see `registration.Registration`.

    Attributes:
      matrix: From the fixed to the moving image, at full size.
      corners: The corners of the part of the fixed image that the moving one shows,
        [4, 2].
      score, consistency, distinctness: As there, with the consistency at `corners`.
      searched: The confidence of the place that the search found.
    """

    matrix: np.ndarray
    corners: np.ndarray
    score: float
    consistency: float
    distinctness: float
    searched: float


def find(
    grays: Sequence[np.ndarray],
    shapes: Shapes,
    factors: np.ndarray,
    angles: np.ndarray,
    model: str,
    guess: np.ndarray | None = None,
) -> Found | None:
    """Finds the transform from the fixed to the moving image.

    Args:
      grays: The fixed and the moving image, [h, w] float32, of `LARGEST` pixels at
        most.
      shapes: Heights and widths of both at full size.
      factors: Scales to search: pixels of the moving image for one of the fixed image,
        both at full size.
      angles: Rotations to search, in degrees.
      model: One of `MODELS`.
      guess: A transform around which to search, or None.

    Returns:
      What was found, or None where edges match nowhere.
    """
    pair = _Pair(grays, [fields.shrink(gray, _FINEST) for gray in grays], shapes)
    first = "translation" if model == "translation" else "similarity"
    second = first if model in ("translation", "similarity") else "affine"
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        starts = pair.search(pool, factors, angles, guess)
        for size, stage, smoothing, count in (
            (_COARSE, first, _WIDE, _AFFINE),
            (_COARSE, second, _NARROW, _FINALISTS),
            (_FINE, model, _NARROW, 1),
        ):
            climb = functools.partial(pair.climb, size, smoothing, stage)
            climbed = [one for one in pool.map(climb, starts) if one is not None]
            starts = search.distinct(climbed, shapes, count)
        return pair.both_ways(pool, starts[0], model) if starts else None


def bent(
    grays: Sequence[np.ndarray], shapes: Shapes, found: Found, gain: float
) -> Found | None:
    """Refines an affine transform as a homography, which a plane near by needs.

    Two more parameters fit better in any case, and what they fit may be chance.

    Args:
      grays, shapes: As in `find`.
      found: The affine transform.
      gain: By which share the score has to rise.

    Returns:
      The homography, or None where the score rises by less.
    """
    pair = _Pair(grays, [fields.shrink(gray, _FINEST) for gray in grays], shapes)
    levels = pair.levels(found.matrix, _FINE)
    refiner = Refiner(*levels, smoothing=_NARROW, overlap=_OVERLAP)
    least = (1 + gain) * refiner.score(found.matrix)
    matrix, score = refiner.run(found.matrix, _BENT)
    if score < least:
        return None
    start = Candidate(matrix, found.distinctness, found.searched)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        refined = pair.both_ways(pool, start, _BENT)
    return refined if refined.score >= (1 + gain) * found.score else None


@dataclasses.dataclass(frozen=True)
class _Pair:
    """The fixed and the moving image: copies in grey, and their full sizes.

    `small` are copies of the copies, for what is compared at the smallest size.
    """

    grays: Sequence[np.ndarray]
    small: Sequence[np.ndarray]
    shapes: Shapes

    def search(
        self,
        pool: concurrent.futures.Executor,
        factors: np.ndarray,
        angles: np.ndarray,
        guess: np.ndarray | None,
    ) -> list[Candidate]:
        """Lays the image that shows less over the other one, at each scale."""
        # Pixels of the moving image for one of the fixed image where both see the same.
        unit = np.sqrt(np.prod(self.shapes[1]) / np.prod(self.shapes[0]))
        # Around a guess, only a part of the image that shows more is looked at.
        small = self.small if guess is None else self.grays
        look = functools.partial(
            search.candidates, pixels=_COARSE, overlap=_SEARCH_OVERLAP, reach=_REACH
        )
        forth = pool.submit(
            look,
            *small,
            shapes=self.shapes,
            scales=factors[factors <= unit],
            rotations=angles,
            guess=guess,
        )
        back = pool.submit(
            look,
            *small[::-1],
            shapes=self.shapes[::-1],
            scales=1 / factors[factors > unit],
            rotations=-angles,
            guess=None if guess is None else np.linalg.inv(guess),
        )
        found = forth.result() + [
            dataclasses.replace(one, matrix=one.inverse) for one in back.result()
        ]
        return search.distinct(found, self.shapes, _CANDIDATES)

    def climb(
        self, size: int, smoothing: float, model: str, start: Candidate
    ) -> Candidate | None:
        """Refines a candidate; None where the images share too little."""
        points = transforms.corners(self.shapes[0])
        # Levels' sides are rounded: what the search finds is nearly a similarity.
        matrix = transforms.fit(points, transforms.apply(start.matrix, points), model)
        if matrix is None:
            return None
        levels = self.levels(matrix, size)
        refiner = Refiner(*levels, smoothing=smoothing, overlap=_OVERLAP)
        matrix, score = refiner.run(matrix, model)
        if score <= -1:
            return None
        confidence = search.confidence(refiner.distinctness(matrix), score)
        return Candidate(matrix, confidence, start.searched)

    def levels(self, matrix: np.ndarray, size: int) -> list[fields.Level]:
        """Makes copies of what both images show under a transform.

        Their pixels are of one size, so that neither is the blurred one, and `size` of
        them lie in the part that both share, or as many as the images have.
        """
        grays = self.small if size <= _COARSE else self.grays
        # Pixels of each image for one of the fixed image.
        scales = 1.0, transforms.scale(matrix, self.shapes[0])
        parts = [
            (gray, shape, self._shared(matrix, which), scale)
            for which, (gray, shape, scale) in enumerate(
                zip(grays, self.shapes, scales, strict=True)
            )
        ]
        area = min(
            np.prod(np.diff(box, axis=0)) / scale**2 for _, _, box, scale in parts
        )
        given = min(
            gray.size / np.prod(shape) * scale**2 for gray, shape, _, scale in parts
        )
        factor = min(size / area, given) ** 0.5
        return [
            fields.part(gray, shape, box, factor / scale)
            for gray, shape, box, scale in parts
        ]

    def both_ways(
        self, pool: concurrent.futures.Executor, start: Candidate, model: str
    ) -> Found:
        """Refines a transform and, apart from it, its inverse, from several starts."""
        levels = self.levels(start.matrix, _FINEST)
        refiners = [
            Refiner(*way, smoothing=_NARROW, overlap=_OVERLAP)
            for way in (levels, levels[::-1])
        ]
        (left, top), (right, bottom) = self._shared(start.matrix, 0) - ((0, 0), (1, 1))
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        starts = _around(start.matrix, points, model)
        inverses = [np.linalg.inv(one) for one in starts]
        climbs = [
            [pool.submit(refiner.run, one, model) for one in way]
            for refiner, way in zip(refiners, (starts, inverses), strict=True)
        ]
        forth, back = (
            [found for found, score in (climb.result() for climb in way) if score > -1]
            for way in climbs
        )
        forth = forth or starts[:1]
        back = [np.linalg.inv(one) for one in back] or starts[:1]
        matrix = _mean(forth + back, points, model)
        ways = [(refiners[0], matrix), (refiners[1], np.linalg.inv(matrix))]
        return Found(
            matrix,
            points,
            min(refiner.score(way) for refiner, way in ways),
            transforms.distance(
                _mean(forth, points, model), _mean(back, points, model), points
            ),
            min(refiner.distinctness(way) for refiner, way in ways),
            start.searched,
        )

    def _shared(self, matrix: np.ndarray, which: int) -> np.ndarray:
        """Finds the box in an image of what the other one shows, and a margin.

        Returns:
          (left, top) and (right, bottom) in pixels of the image.
        """
        way = matrix if which else np.linalg.inv(matrix)
        places = transforms.apply(way, transforms.corners(self.shapes[1 - which]))
        low, high = places.min(axis=0), places.max(axis=0) + 1
        margin = _MARGIN * (high - low)
        box = np.stack([low - margin, high + margin])
        return box.clip(0, self.shapes[which][::-1])


def _around(start: np.ndarray, points: np.ndarray, model: str) -> list[np.ndarray]:
    """Returns a transform and others that differ from it by a few pixels."""
    spread = _APART * np.hypot(*(points[2] - points[0]))
    random = np.random.default_rng(0)
    starts = [start]
    for _ in range(_STARTS - 1):
        moved = points + random.normal(0, spread, points.shape)
        matrix = transforms.fit(points, transforms.apply(start, moved), model)
        if matrix is not None:
            starts.append(matrix)
    return starts


def _mean(matrices: Sequence[np.ndarray], points: np.ndarray, model: str) -> np.ndarray:
    """Returns the transform of the mean of the places of points."""
    places = np.mean([transforms.apply(matrix, points) for matrix in matrices], axis=0)
    matrix = transforms.fit(points, places, model)
    return matrices[0] if matrix is None else matrix
