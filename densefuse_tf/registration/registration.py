"""Registration of a pair: the transform from the fixed to the moving image.

The two images are of different kinds, so what is compared is the direction of edges
(`orientation`). The steps:

1. All scales, rotations and shifts are tried at small size (`search`), from the fixed
   to the moving image and the other way.
2. Each distinct candidate is refined (`refine`) as a similarity and, if it stands out
   from its surroundings, as an affine transform.
3. The three that stand out most are refined at a finer level; the one that then stands
   out most is refined at the finest level, both ways.
4. It is accepted if both ways agree and no place nearby matches nearly as well.
"""

import concurrent.futures
import dataclasses
from collections.abc import Sequence

import numpy as np
from skimage import transform as skimage_transform

from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels
from densefuse_tf.registration import levels
from densefuse_tf.registration import search
from densefuse_tf.registration import transforms
from densefuse_tf.registration.refine import Refiner
from densefuse_tf.registration.search import Candidate
from densefuse_tf.registration.total_gradient import normalized_total_gradient
from densefuse_tf.registration.warping import warp_matrix

# Height times width at which images are searched, refined and refined at last.
_COARSE, _FINE, _FINEST = 160 * 120, 320 * 240, 480 * 360
# Smoothing of the fields, in pixels of the level: for a similarity, and from then on.
_WIDE, _NARROW = 1.5, 1.0
# Steps of the search: of the logarithm of the scale, and in degrees.
_SCALE_STEP, _ROTATION_STEP = 0.06, 2.0
# Shares of the smaller image that have to overlap in the search and while refining.
_SEARCH_OVERLAP, _OVERLAP = 0.6, 0.5
_CANDIDATES, _AFFINE, _FINALISTS = 12, 4, 3
_MIN_SIDE = 32

# What a registration must reach to be accepted: between what was measured of pairs
# that belong together and of pairs that do not, see docs/registration.md.
# The distinctness times the root of the score.
MIN_CONFIDENCE = 2.75
# A share of the fixed image's diagonal.
MAX_INCONSISTENCY = 0.006


@dataclasses.dataclass(frozen=True)
class Registration:
    """How a moving image lies over a fixed one.

    Attributes:
      transform: Takes pixel coordinates (x, y) of the fixed image to those of the
        moving one; the centre of the pixel at the top left is (0, 0).
      model: One of `transforms.MODELS`.
      fixed_shape, moving_shape: Heights and widths.
      score: Normalised product of the orientation fields, -1..1; None where images
        were not compared.
      consistency: Root mean square distance at the fixed image's corners, in its
        pixels, of the transform and the inverse of the one found from the moving to
        the fixed image. For points picked by hand: root mean square distance of the
        points. For several registrations put together: the largest distance of one
        from their median.
      distinctness: By how many standard deviations the score stands out from that of
        shifted places, the lower value of both ways; None where images were not
        compared.
      total_gradient: The normalised total gradient of [31] without a registration (the
        moving image resized to the fixed one's size) and with it; not to be trusted.
      reason: Why it is not accepted; None if it is.
    """

    transform: skimage_transform.ProjectiveTransform
    model: str
    fixed_shape: tuple[int, int]
    moving_shape: tuple[int, int]
    score: float | None = None
    consistency: float | None = None
    distinctness: float | None = None
    total_gradient: tuple[float, float] | None = None
    reason: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the transform can be relied on."""
        return self.reason is None

    @property
    def matrix(self) -> np.ndarray:
        """The 3x3 matrix of `transform`."""
        return self.transform.params


def register(
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    model: str = "affine",
    scales: tuple[float, float] = (0.7, 1.45),
    rotations: tuple[float, float] = (-8.0, 8.0),
    names: Sequence[str] = ("the fixed image", "the moving image"),
) -> Registration:
    """Finds the transform that lays a moving image over a fixed one.

    Args:
      fixed, moving: Images as `images.read` returns them; sizes and dtypes may differ.
        Of colour images the luma is compared.
      model: "translation" (images of one scale that are shifted), "similarity" (also
        scaled and turned), "affine" (also sheared), or "homography" (a plane seen from
        two places).
      scales: The smallest and the largest scale of the search. 1 means that both images
        show the same field of view, whatever their sizes.
      rotations: The smallest and the largest rotation of the search, in degrees.
      names: What messages call the images.

    Returns:
      The registration; whether it is to be relied on says `accepted`.

    Raises:
      UserError: Not an image, smaller than 32 pixels, or all pixels of one value; an
        unknown model.
    """
    transforms.check_model(model)
    grays = [
        _comparable(image, name)
        for image, name in zip((fixed, moving), names, strict=True)
    ]
    shapes = grays[0].shape, grays[1].shape
    # Pixels of the moving image for one of the fixed image where both see the same.
    unit = np.sqrt(grays[1].size / grays[0].size)
    factors, angles = unit * _steps_of_scale(scales), _steps_of_rotation(rotations)
    if model == "translation":
        factors, angles = np.ones(1), np.zeros(1)
    grays = [levels.shrink(gray, _FINEST) for gray in grays]
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
            return _failed(shapes, model)
        fine = _refiners(grays, shapes, _FINE, _NARROW, both=False)[0]
        refined = pool.map(lambda start: fine.run(start.matrix, model)[0], starts)
        best_start = max(refined, key=fine.distinctness)
        best = _both_ways(
            pool, _refiners(grays, shapes, _FINEST, _NARROW), best_start, model
        )
    between = (
        levels.resizing(shapes[1], grays[1].shape)
        @ best.matrix
        @ levels.resizing(grays[0].shape, shapes[0])
    )
    same_view = levels.resizing(grays[0].shape, grays[1].shape)
    before, after = (
        normalized_total_gradient(
            grays[0], warp_matrix(grays[1], matrix, grays[0].shape, fill=np.nan)
        )
        for matrix in (same_view, between)
    )
    return Registration(
        transform=transforms.of_matrix(best.matrix, model),
        model=model,
        fixed_shape=shapes[0],
        moving_shape=shapes[1],
        score=best.score,
        consistency=best.consistency,
        distinctness=best.distinctness,
        total_gradient=(before, after),
        reason=_objection(best, shapes[0]),
    )


@dataclasses.dataclass(frozen=True)
class _Found:
    """A transform that was refined both ways; see `Registration`."""

    matrix: np.ndarray
    score: float
    consistency: float
    distinctness: float


def _comparable(image: np.ndarray, name: str) -> np.ndarray:
    """The image in grey, float32, or a UserError where it has nothing to compare."""
    pixels.check(image, name)
    if min(image.shape[:2]) < _MIN_SIDE:
        raise UserError(
            f"{name}: is {image.shape[0]}x{image.shape[1]} pixels (height x width): "
            f"expected at least {_MIN_SIDE}x{_MIN_SIDE} to register it"
        )
    gray = pixels.gray(image).astype(np.float32)
    if gray.min() == gray.max():
        raise UserError(
            f"{name}: all its pixels have the value {gray.flat[0]:g}: expected an "
            "image with edges to register it by"
        )
    return gray


def _steps_of_scale(scales: tuple[float, float]) -> np.ndarray:
    low, high = scales
    if not 0 < low <= high < np.inf:
        raise UserError(f"scales {low:g} to {high:g}: expected 0 < low <= high")
    return np.geomspace(low, high, 1 + round(np.log(high / low) / _SCALE_STEP))


def _steps_of_rotation(rotations: tuple[float, float]) -> np.ndarray:
    low, high = rotations
    if not -180 <= low <= high <= 180:
        raise UserError(
            f"rotations {low:g} to {high:g} degrees: expected -180 <= low <= high <= "
            "180"
        )
    return np.linspace(low, high, 1 + round((high - low) / _ROTATION_STEP))


def _coarse(
    grays: Sequence[np.ndarray],
    shapes: tuple[tuple[int, int], tuple[int, int]],
    factors: np.ndarray,
    angles: np.ndarray,
    model: str,
) -> list[Candidate]:
    """Steps 1 and 2 of the module's list; the score is the distinctness."""
    found = search.candidates(
        levels.shrink(grays[0], _FINE),
        levels.shrink(grays[1], _FINE),
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
        levels.level(levels.shrink(gray, size), shape)
        for gray, shape in zip(grays, shapes, strict=True)
    )
    ways = [(fixed, moving), (moving, fixed)][: 1 + both]
    return [Refiner(*way, smoothing=smoothing, overlap=_OVERLAP) for way in ways]


def _both_ways(
    pool: concurrent.futures.Executor,
    refiners: Sequence[Refiner],
    start: np.ndarray,
    model: str,
) -> _Found:
    """Refines a transform and, apart from it, its inverse."""
    forth = pool.submit(refiners[0].run, start, model)
    back = pool.submit(refiners[1].run, np.linalg.inv(start), model)
    (matrix, score), (inverse, other) = forth.result(), back.result()
    return _Found(
        matrix,
        min(score, other),
        transforms.distance(matrix, np.linalg.inv(inverse), refiners[0].shape),
        min(refiners[0].distinctness(matrix), refiners[1].distinctness(inverse)),
    )


def _objection(found: _Found, shape: tuple[int, int]) -> str | None:
    """Why a registration is not accepted, or None."""
    limit = MAX_INCONSISTENCY * float(np.hypot(*shape))
    confidence = found.distinctness * max(found.score, 0.0) ** 0.5
    if confidence < MIN_CONFIDENCE:
        return (
            "no place stands out: edges match with a score of "
            f"{found.score:.2f}, {found.distinctness:.1f} standard deviations above "
            f"places nearby, a confidence of {confidence:.1f}: expected "
            f"{MIN_CONFIDENCE:g} or more"
        )
    if found.consistency > limit:
        return (
            f"the transforms found both ways differ by {found.consistency:.1f} pixels "
            f"at the corners: expected {limit:.1f} or less"
        )
    return None


def _failed(shapes: tuple[tuple[int, int], tuple[int, int]], model: str):
    """The registration of images without a common place: they stay as they are."""
    return Registration(
        transform=transforms.of_matrix(np.eye(3), model),
        model=model,
        fixed_shape=shapes[0],
        moving_shape=shapes[1],
        reason="no place was found at which edges of both images match",
    )
