"""Registration of a pair: the transform from the fixed to the moving image.

The two images are of different kinds, so what is compared is the direction of edges
(`fields`), and `matching` finds where these match best. The place is accepted if both
ways agree and no place nearby matches nearly as well.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from skimage import transform as skimage_transform

from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels
from densefuse_tf.registration import fields
from densefuse_tf.registration import matching
from densefuse_tf.registration import search
from densefuse_tf.registration import transforms
from densefuse_tf.registration.choices import Model
from densefuse_tf.registration.matching import Found
from densefuse_tf.registration.warping import warp_matrix

# Steps of the search: of the logarithm of the scale, and in degrees.
_SCALE_STEP, _ROTATION_STEP = 0.06, 2.0
# Scales that are searched without a guess and around one.
_SCALES, _SCALES_OF_GUESS = (0.3, 3.0), (0.4, 2.5)
_MIN_SIDE = 32
# Height times width at which the total gradient is measured.
_COMPARED = 480 * 360

# What a registration must reach to be accepted: between what was measured of pairs
# that belong together and of pairs that do not, see docs/registration.md.
# The distinctness times the root of the score. Around a guess, the mean (the geometric
# one) of this and of the same measure in the search, among all shifts of one scale.
MIN_CONFIDENCE, MIN_CONFIDENCE_OF_GUESS = 2.75, 2.0
# A homography takes the place of an affine transform whose score it exceeds by this
# share: by 3 and 14 % in two pairs whose truth is bent most, by less than 2 % in 26 of
# 27 whose truth is affine.
_GAIN = 0.025
# A share of the diagonal of the part of the fixed image that the moving one shows.
MAX_INCONSISTENCY = 0.006


@dataclasses.dataclass(frozen=True)
class Registration:
    """How a moving image lies over a fixed one.

    Attributes:
      transform: Takes pixel coordinates (x, y) of the fixed image to those of the
        moving one; the centre of the pixel at the top left is (0, 0).
      model: One of `MODELS`.
      fixed_shape, moving_shape: Heights and widths.
      score: Normalised product of the orientation fields, -1..1; None where images
        were not compared.
      consistency: Root mean square distance at the corners of the part of the fixed
        image that the moving one shows, in its pixels, of the transform found from the
        fixed to the moving image and the inverse of the one found the other way;
        `transform` is the mean of the two.
        For points picked by hand: root mean square distance of the points. For several
        registrations put together: the largest distance of one from their median.
      distinctness: By how many standard deviations the score stands out from that of
        shifted places, the lower value of both ways; None where images were not
        compared.
      total_gradient: The normalised total gradient of [31] without a registration (the
        moving image resized to the fixed one's size) and with it; not to be trusted.
      reason: Why it is not accepted; None if it is.
    """

    transform: skimage_transform.ProjectiveTransform
    model: Model
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

    def require_accepted(self, what: str) -> None:
        """Raises a UserError about `what` unless the transform can be relied on."""
        if not self.accepted:
            raise UserError(
                f"{what}: not registered: {self.reason}; --points takes points picked "
                "by hand, see docs/registration.md"
            )

    @property
    def matrix(self) -> np.ndarray:
        """The 3x3 matrix of `transform`."""
        return self.transform.params


def register(
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    model: Model | None = None,
    scales: tuple[float, float] | None = None,
    rotations: tuple[float, float] = (-8.0, 8.0),
    guess: np.ndarray | None = None,
    names: Sequence[str] = ("the fixed image", "the moving image"),
) -> Registration:
    """Finds the transform that lays a moving image over a fixed one.

    Args:
      fixed, moving: Images as `images.read` returns them; sizes and dtypes may differ.
        The luma of colour images is compared.
      model: By default affine, or a homography where that matches clearly better.
        "translation" (images of one scale that are shifted), "similarity" (also
        scaled and turned), "affine" (also sheared), or "homography" (a plane seen from
        two places).
      scales: The smallest and the largest scale of the search, by default 0.3 to 3, and
        around a guess 0.4 to 2.5. 1 means that both images show the same field of view,
        whatever their sizes, or the scale of the guess.
      rotations: The smallest and the largest rotation of the search, in degrees, from
        the guess's where there is one.
      guess: 3x3; a transform from the fixed to the moving image that is nearly right,
        as a camera's own figures or another pair's registration. The search goes up to
        0.3 of the sides of the image that shows less away from its centre.
      names: What messages call the images.

    Returns:
      The registration; its `accepted` says whether it can be relied on.

    Raises:
      UserError: An image is no image, is smaller than 32 pixels or has only one value;
        the model is unknown; or the guess is no transform.
    """
    is_free = model is None
    model = transforms.pick_model(model or "affine")
    grays = [
        _comparable(image, name)
        for image, name in zip((fixed, moving), names, strict=True)
    ]
    shapes = grays[0].shape, grays[1].shape
    if guess is None:
        # Pixels of the moving image for one of the fixed image where both see the same.
        unit, turned = np.sqrt(grays[1].size / grays[0].size), 0.0
    else:
        guess = _regular(guess)
        unit = transforms.scale(guess, shapes[0])
        turned = transforms.rotation(guess, shapes[0])
    if scales is None:
        scales = _SCALES if guess is None else _SCALES_OF_GUESS
    factors = unit * _steps_of_scale(scales)
    angles = turned + _steps_of_rotation(rotations)
    if model == "translation":
        factors, angles = np.ones(1), np.zeros(1)
    grays = [fields.shrink(gray, matching.LARGEST) for gray in grays]
    best = matching.find(grays, shapes, factors, angles, model, guess)
    if best is None:
        return Registration(
            transforms.of_matrix(np.eye(3), model),
            model,
            *shapes,
            reason="no place was found at which edges of both images match",
        )
    reason = _objection(best, guess is not None)
    if is_free and reason is None:
        homography = matching.bent(grays, shapes, best, _GAIN)
        if homography and _objection(homography, guess is not None) is None:
            best, model = homography, "homography"
    grays = [fields.shrink(gray, _COMPARED) for gray in grays]
    between = (
        fields.resizing(shapes[1], grays[1].shape)
        @ best.matrix
        @ fields.resizing(grays[0].shape, shapes[0])
    )
    same_view = fields.resizing(grays[0].shape, grays[1].shape)
    before, after = (
        normalized_total_gradient(
            grays[0], warp_matrix(grays[1], matrix, grays[0].shape, fill=np.nan)
        )
        for matrix in (same_view, between)
    )
    return Registration(
        transforms.of_matrix(best.matrix, model),
        model,
        *shapes,
        score=best.score,
        consistency=best.consistency,
        distinctness=best.distinctness,
        total_gradient=(before, after),
        reason=reason,
    )


def normalized_total_gradient(one: np.ndarray, other: np.ndarray) -> float:
    """Computes the total gradient of the difference over that of both images.

    NTG = sum |grad(f - g)|_1 / (sum |grad f|_1 + sum |grad g|_1) is the measure of the
    paper's reference [31]. It is low where edges lie on edges. It proves nothing about
    a thermal and a visible image, for which a wrong place often has the lower value.

    Args:
      one, other: Grey images of the same shape, [H, W]; NaN where there is nothing.

    Returns:
      A number in 0..1; NaN where both images are flat or share no pixel.

    Notes:
      Each image is brought to mean 0 and standard deviation 1 over the common pixels,
      so that bit depths may differ.

    References:
      S.-J. Chen, H.-L. Shen, C. Li, J. H. Xin, "Normalized total gradient: a new
      measure for multispectral image registration," IEEE TIP 27(3), 2018,
      doi:10.1109/TIP.2017.2776753.
    """
    one, other = (np.asarray(image, np.float64) for image in (one, other))
    common = np.isfinite(one) & np.isfinite(other)
    if not common.any():
        return float("nan")
    deviations = [image[common].std() for image in (one, other)]
    one, other = (
        (image - image[common].mean()) / (deviation or 1)
        for image, deviation in zip((one, other), deviations, strict=True)
    )

    def total(image: np.ndarray) -> float:
        # Differences with a pixel outside are NaN and count nothing.
        masked = np.where(common, image, np.nan)
        return sum(float(np.nansum(np.abs(np.diff(masked, axis=k)))) for k in (0, 1))

    both = total(one) + total(other)
    return total(one - other) / both if both > 0 else float("nan")


def _comparable(image: np.ndarray, name: str) -> np.ndarray:
    """Returns an image in grey, float32, or refuses one without anything to compare."""
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


def _regular(matrix: np.ndarray) -> np.ndarray:
    """Returns the matrix of a guess, or refuses what is no transform."""
    values = np.asarray(matrix, np.float64)
    if not transforms.is_regular(values):
        raise UserError("guess: expected a regular 3x3 matrix of finite numbers")
    return values / values[2, 2]


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


def _objection(found: Found, has_guess: bool) -> str | None:
    """Says why a registration is not accepted; None where it is."""
    limit = MAX_INCONSISTENCY * float(np.hypot(*(found.corners[2] - found.corners[0])))
    confidence = search.confidence(found.distinctness, found.score)
    least = MIN_CONFIDENCE
    if has_guess:
        # The best of few places: that it stood out among them says something.
        confidence = (confidence * max(found.searched, 0.0)) ** 0.5
        least = MIN_CONFIDENCE_OF_GUESS
    if confidence < least:
        return (
            "no place stands out: edges match with a score of "
            f"{found.score:.2f}, {found.distinctness:.1f} standard deviations above "
            f"places nearby, a confidence of {confidence:.1f}: expected {least:g} or "
            "more"
        )
    if found.consistency > limit:
        return (
            f"the transforms found both ways differ by {found.consistency:.1f} pixels "
            f"at the corners: expected {limit:.1f} or less"
        )
    return None
