"""Registers one pair of image files: a whole run of densefuse-register."""

import dataclasses
import os
import pathlib
from collections.abc import Callable

import numpy as np
from absl import logging

from densefuse_tf import registration
from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.io import formats
from densefuse_tf.io import images
from densefuse_tf.io import outputs
from densefuse_tf.io import pixels
from densefuse_tf.io import radiometric
from densefuse_tf.io import temperatures
from densefuse_tf.registration import choices
from densefuse_tf.setting import explained
from densefuse_tf.setting import setting


@explained
@dataclasses.dataclass(frozen=True)
class RegisterSettings:
    """Says what is registered, how, and which files are written."""

    fixed: str | os.PathLike | None = setting(
        None, "The image that stays as it is, usually the visible one."
    )
    moving: str | os.PathLike | None = setting(
        None,
        "The image that is laid over the fixed one, usually the infrared one; its "
        "size and bit depth may differ.",
    )
    model: registration.Model | None = setting(
        None, choices.MODELS_HELP, choices=choices.MODELS
    )
    points: str | os.PathLike | None = setting(
        None,
        "A CSV file of four or more points picked by hand, "
        "fixed_x,fixed_y,moving_x,moving_y, to which the transform is fitted instead.",
    )
    guess: str | os.PathLike | None = setting(
        None,
        "A file that --save_transform wrote, of a transform that is nearly right: it "
        "is searched around.",
    )
    transform: str | os.PathLike | None = setting(
        None, "A file that --save_transform wrote: its transform is applied."
    )
    save_transform: str | os.PathLike | None = setting(
        None, "Write the transform to this file, as JSON."
    )
    output: str | os.PathLike | None = setting(None, "Write the aligned moving image.")
    fixed_output: str | os.PathLike | None = setting(
        None, "Write the fixed image, cropped to the area that both cover."
    )
    checkerboard: str | os.PathLike | None = setting(
        None,
        "Write a picture of both images in turn, in squares: aligned edges go on "
        "across them.",
    )
    uncovered: registration.Uncovered = setting(
        "crop",
        "What becomes of the pixels that the moving image does not cover: cut off, or "
        "left at the fixed image's size, black or showing the fixed image.",
        choices=choices.UNCOVERED,
    )

    def files(self, *names: str) -> dict[str, pathlib.Path]:
        """Returns those of some files that are given, by their flags."""
        paths = {f"--{name}": getattr(self, name) for name in names}
        return {
            name: pathlib.Path(path) for name, path in paths.items() if path is not None
        }


def register(settings: RegisterSettings, tell: Callable[[str], object]) -> None:
    """Registers a pair, and writes what is asked for.

    Args:
      settings: Says what is registered.
      tell: Is told what was found, in some lines, and the area that both show.

    Raises:
      UserError: A mistake in the settings or in a file; the registration is not one
        that can be relied on.
    """
    _check(settings)
    # Either may be the infrared image; of temperatures both have the same pixels here
    # and in fuse.py.
    paths = list(settings.files("fixed", "moving").values())
    read = list(map(radiometric.read_infrared, paths))
    for one in read:
        if one.warning:
            logging.warning("%s", one.warning)
    fixed, moving = (one.image for one in read)
    fixed = np.ma.getdata(fixed)
    pixels.check(fixed, str(paths[0]))
    gaps = temperatures.without_value(moving)
    moving = np.ma.getdata(moving)
    if gaps is not None:
        moving[gaps] = moving[~gaps].min()
    _check_depth(settings, "output", moving)
    _check_depth(settings, "fixed_output", fixed)
    found = _registration(settings, fixed, moving)
    tell(_summary(found))
    if not found.accepted:
        raise UserError(
            f"{settings.moving} is not registered to {settings.fixed}: {found.reason}; "
            "--points takes points picked by hand"
        )
    if settings.files("output", "fixed_output", "checkerboard"):
        alignment = registration.Alignment(found, uncovered=settings.uncovered)
        if alignment.area is not None:
            area = alignment.area
            tell(
                f"common area: rows {area.top} to {area.bottom - 1}, columns "
                f"{area.left} to {area.right - 1}"
            )
        fixed, moving = alignment.align(fixed, moving)
        if moving.dtype != np.uint8:
            moving = _without_values(settings, alignment, moving, gaps)
        if settings.output is not None:
            images.write(settings.output, moving)
        if settings.fixed_output is not None:
            images.write(settings.fixed_output, fixed)
        if settings.checkerboard is not None:
            images.write(
                settings.checkerboard, registration.checkerboard(fixed, moving)
            )
    if settings.save_transform is not None:
        registration.save(settings.save_transform, found)


def _registration(settings: RegisterSettings, fixed: np.ndarray, moving: np.ndarray):
    """Finds the registration that is asked for."""
    if settings.transform is not None:
        return _saved(settings.transform, settings, fixed, moving)
    if settings.points is not None:
        return registration.from_points(
            *registration.read_points(settings.points),
            shapes=(fixed.shape[:2], moving.shape[:2]),
            model=settings.model or "affine",
            name=os.fspath(settings.points),
        )
    guess, model = None, settings.model
    if settings.guess is not None:
        given = _saved(settings.guess, settings, fixed, moving)
        guess = given.matrix
        model = model or given.model
    names = str(settings.fixed), str(settings.moving)
    return registration.register(fixed, moving, model=model, guess=guess, names=names)


def _saved(
    path: str | os.PathLike,
    settings: RegisterSettings,
    fixed: np.ndarray,
    moving: np.ndarray,
):
    """Reads a registration that was saved of images of these sizes."""
    found = registration.load(path)
    for image, shape, name in (
        (fixed, found.fixed_shape, "fixed"),
        (moving, found.moving_shape, "moving"),
    ):
        if image.shape[:2] != shape:
            raise UserError(
                f"{getattr(settings, name)} is {image.shape[0]}x{image.shape[1]}: "
                f"expected {shape[0]}x{shape[1]}, as the --{name} image of {path}"
            )
    return found


def _without_values(
    settings: RegisterSettings, alignment, moving: np.ndarray, gaps: np.ndarray | None
) -> np.ndarray:
    """Masks the pixels of an aligned image that have no value of its own.

    With more than 8 bits 0 may be a value, which black is not.
    """
    found = alignment.registration
    hidden = np.zeros(found.fixed_shape, bool)
    if settings.uncovered == "black":
        hidden = ~registration.covered(
            found.matrix, found.fixed_shape, found.moving_shape
        )
    if gaps is not None:
        hidden |= np.abs(registration.warp(gaps.astype(np.float32), found)) > 0.01
    if alignment.area is not None:
        hidden = hidden[alignment.area.slices]
    mask = hidden if moving.ndim == 2 else pixels.rgb(hidden)
    return np.ma.masked_array(moving, mask)


def _summary(found) -> str:
    """Describes the transform and its measures, a line each."""
    lines = [f"{found.model}, from the fixed to the moving image (x, y, 1):"]
    lines += ["  " + "".join(f"{value:14.6g}" for value in row) for row in found.matrix]
    for name, value in (
        ("score", found.score),
        ("distinctness", found.distinctness),
        ("consistency in pixels", found.consistency),
    ):
        if value is not None:
            lines.append(f"{name}: {value:.2f}")
    if found.total_gradient is not None:
        before, after = found.total_gradient
        lines.append(f"normalised total gradient: {before:.3f} before, {after:.3f} now")
    return "\n".join(lines)


def _check(settings: RegisterSettings) -> None:
    """Refuses settings that contradict each other, and outputs that would do harm."""
    pair = settings.files("fixed", "moving")
    for name in ("--fixed", "--moving"):
        if name not in pair:
            raise UserError(
                f"{name} is missing: expected --fixed and --moving, the two images of "
                "a pair"
            )
    if settings.transform is not None:
        for name in ("points", "model", "guess"):
            if getattr(settings, name) is not None:
                raise UserError(f"--{name} does not go with --transform")
    if settings.guess is not None and settings.points is not None:
        raise UserError("--guess does not go with --points")
    read = settings.files("fixed", "moving", "points", "transform", "guess")
    written = settings.files("output", "fixed_output", "checkerboard", "save_transform")
    outputs.check_named(
        written, lambda: ((path, f"what {name} reads") for name, path in read.items())
    )
    for name, path in written.items():
        is_image = path.suffix.lower() in formats.WRITTEN
        if is_image == (name == "--save_transform"):
            expected = ".json" if is_image else ", ".join(formats.WRITTEN)
            raise UserError(
                f"{name}={path}: is named {path.suffix or 'without suffix'}: expected "
                f"{expected}"
            )
        files.make_folder(path.parent)


def _check_depth(settings: RegisterSettings, name: str, image: np.ndarray) -> None:
    """Refuses a name of a format that has no room for the bits of an image."""
    path = getattr(settings, name)
    if path is None or image.dtype == np.uint8:
        return
    deep = [suffix for suffix, each in formats.WRITTEN.items() if each.is_deep]
    if pathlib.Path(path).suffix.lower() not in deep:
        raise UserError(
            f"--{name}={path}: the image has {image.dtype} values: expected a name "
            f"ending in {' or '.join(deep)}"
        )
