"""Aligns the sources of pairs before they are fused: registered, warped and cropped."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from absl import logging

from densefuse_tf import registration
from densefuse_tf.errors import UserError
from densefuse_tf.io import images
from densefuse_tf.pipelines.settings import RegistrationSettings

if TYPE_CHECKING:
    from densefuse_tf.registration import Alignment
    from densefuse_tf.registration import Model
    from densefuse_tf.registration import Registration

# The pairs or frames whose transforms a rig's is the median of, at most.
FIRST = 5

_UNCOVERED: dict[str, registration.Uncovered] = {
    "crop": "crop",
    "black": "black",
    # Settings allow the one that stays as it is.
    "visible": "fixed",
    "infrared": "fixed",
}


class Scene(NamedTuple):
    """Holds the sources of a pair, infrared first.

    Attributes:
      sources: [H, W] or [H, W, 3], any dtype.
      names: What errors call them.
      guess: Nearly how the visible image lies over the infrared one, from a camera's
        own figures.
    """

    sources: Sequence[np.ndarray]
    names: Sequence[str]
    guess: "Registration | None" = None


class Aligner:
    """Aligns the two sources of one pair after the other.

    It can be pickled, and be used by several threads at a time.

    Args:
      settings: With a registration asked for.
      found: The registration of all pairs; None to register each by itself.
      origin: Where `found` comes from, for an error.

    Raises:
      UserError: `found` is not accepted, or leaves no area that both images cover.
    """

    def __init__(
        self,
        settings: RegistrationSettings,
        found: "Registration | None" = None,
        origin: str = "",
    ):
        if settings.guess is not None:
            # A mistake in it is answered before the first pair.
            registration.load(settings.guess)
        self.settings = settings
        self.registration = found
        self._origin = origin
        self._alignment = None
        if found is not None:
            self._alignment = _alignment(settings, found, origin)

    def __reduce__(self):
        # What an alignment holds may be as large as an image.
        return Aligner, (self.settings, self.registration, self._origin)

    @property
    def shape(self) -> tuple[int, int] | None:
        """Returns the height and width that all pairs have once they are aligned.

        None where each pair is registered by itself.
        """
        if self._alignment is None:
            return None
        if self._alignment.area is not None:
            return self._alignment.area.shape
        return self._alignment.registration.fixed_shape

    def align(
        self,
        sources: Sequence[np.ndarray],
        names: Sequence[str],
        guess: "Registration | None" = None,
    ) -> "tuple[tuple[np.ndarray, ...], Registration]":
        """Aligns a pair.

        Args:
          sources: The infrared and the visible image, [H, W] or [H, W, 3], any dtype.
          names: Their names for an error.
          guess: As in `Scene`, for a pair that is registered by itself.

        Returns:
          The two, of one height and width, each with its own channels and dtype; and
          how they were registered.

        Raises:
          UserError: The registration is not accepted; the images have other sizes than
            those that were registered.
        """
        fixed, moving = self.settings.fixed_first(sources)
        fixed_name, moving_name = self.settings.fixed_first(names)
        alignment = self._alignment
        if alignment is None:
            found = _register(Scene(sources, names, guess), self.settings)
            alignment = _alignment(self.settings, found, " and ".join(names))
        else:
            found = alignment.registration
            for image, name, expected in (
                (fixed, fixed_name, found.fixed_shape),
                (moving, moving_name, found.moving_shape),
            ):
                if image.shape[:2] != expected:
                    raise UserError(
                        f"{name} is {_text(image.shape)}: expected {_text(expected)}, "
                        f"the size that the transform of {self._origin} is for"
                    )
        aligned = alignment.align(fixed, moving)
        return self.settings.fixed_first(aligned), found


def prepare(settings: RegistrationSettings, scenes: Iterable[Scene]) -> Aligner:
    """Finds out how pairs are aligned, before the first one is.

    Args:
      settings: With a registration asked for.
      scenes: The first pairs or frames, of which as many are taken as are needed.

    Returns:
      What aligns all pairs.

    Raises:
      UserError: The file of the transform or of the points cannot be used; or the pairs
        that are taken do not agree on one transform. Or what `scenes` raises.
    """
    if settings.transform is not None:
        origin = os.fspath(settings.transform)
        return Aligner(settings, registration.load(origin), origin)
    if settings.points is not None:
        origin = os.fspath(settings.points)
        points = registration.read_points(origin)
        fixed, moving = settings.fixed_first(next(iter(scenes)).sources)
        found = registration.from_points(
            *points,
            shapes=(fixed.shape[:2], moving.shape[:2]),
            model=settings.register_model or "affine",
            name=origin,
        )
        return Aligner(settings, found, origin)
    if settings.register == "each":
        return Aligner(settings)
    found, origin = _of_a_rig(settings, scenes)
    return Aligner(settings, found, origin)


def write(
    settings: RegistrationSettings,
    sources: Sequence[np.ndarray],
    found: "Registration | None",
    wrote: Callable[[str, str | os.PathLike], object],
    *,
    overwrite: bool = True,
) -> None:
    """Writes the files that show how `sources`, infrared first, were aligned."""
    if settings.save_transform is not None and found is not None:
        registration.save(settings.save_transform, found, overwrite=overwrite)
        wrote("transform", settings.save_transform)
    if settings.checkerboard is not None:
        picture = registration.checkerboard(sources[-1], sources[0])
        images.write(settings.checkerboard, picture, overwrite=overwrite)
        wrote("checkerboard", settings.checkerboard)


def _of_a_rig(
    settings: RegistrationSettings, scenes: Iterable[Scene]
) -> "tuple[Registration, str]":
    """Returns the registration of a rigid rig, and what it was found from."""
    each: list[Registration] = []
    first, error = "", None
    for scene in scenes:
        try:
            # The median of several needs one model: that of the first.
            model = each[0].model if each else None
            each.append(_register(scene, settings, model))
        except UserError as caught:
            # A video may start in the dark.
            error = error or caught
            continue
        first = first or " and ".join(scene.names)
        if len(each) == FIRST:
            break
    if error is not None and not each:
        raise error
    if len(each) == 1:
        # It has no median.
        return each[0], first
    origin = f"{first} and {len(each) - 1} more"
    try:
        found = registration.combine(each)
    except UserError as caught:
        raise UserError(f"{origin}: {caught}") from caught
    logging.info(
        "one transform for all: the median of %d, which differ from it by %.1f pixels "
        "at most",
        sum(one.accepted for one in each),
        found.consistency,
    )
    return found, origin


def _register(
    scene: Scene, settings: RegistrationSettings, model: "Model | None" = None
) -> "Registration":
    """Registers a pair, by a model where one is given."""
    fixed_name, moving_name = settings.fixed_first(scene.names)
    guess = _guess(scene, settings)
    # The median of several needs one that is known.
    usual: Model | None = "affine" if settings.register == "once" else None
    model = settings.register_model or model or (guess[1] if guess else usual)
    found = registration.register(
        *settings.fixed_first(scene.sources),
        model=model,
        guess=guess[0] if guess else None,
        names=(fixed_name, moving_name),
    )
    if found.accepted:
        logging.info(
            "%s registered to %s: score %.2f, both ways agree to %.1f pixels",
            moving_name,
            fixed_name,
            found.score,
            found.consistency,
        )
    return found


def _guess(
    scene: Scene, settings: RegistrationSettings
) -> "tuple[np.ndarray, Model] | None":
    """Returns a matrix from the fixed to the moving image, and its model."""
    if settings.guess is not None:
        given = registration.load(settings.guess)
        shapes = [image.shape[:2] for image in settings.fixed_first(scene.sources)]
        if shapes != [given.fixed_shape, given.moving_shape]:
            sizes = " and ".join(map(_text, shapes))
            expected = f"{_text(given.fixed_shape)} and {_text(given.moving_shape)}"
            raise UserError(
                f"{' and '.join(settings.fixed_first(scene.names))} are {sizes}: "
                f"expected {expected}, the sizes that the guess of "
                f"{os.fspath(settings.guess)} is for"
            )
        return given.matrix, given.model
    if scene.guess is None:
        return None
    matrix = scene.guess.matrix
    is_forth = settings.register_to == "visible"
    return matrix if is_forth else np.linalg.inv(matrix), scene.guess.model


def _alignment(
    settings: RegistrationSettings, found: "Registration", origin: str
) -> "Alignment":
    found.require_accepted(origin)
    try:
        return registration.Alignment(found, uncovered=_UNCOVERED[settings.uncovered])
    except UserError as error:
        raise UserError(f"{origin}: {error}") from error


def _text(shape: Sequence[int]) -> str:
    return f"{shape[0]}x{shape[1]}"
