"""Registers a moving image to a fixed one: finds the transform and aligns the pair.

  densefuse-register --fixed=VIS.png --moving=IR.png --output=IR_aligned.png \\
      --fixed_output=VIS_cropped.png --checkerboard=check.png

finds an affine transform, lays the moving image over the fixed one and crops both to
the area they share. A registration that cannot be relied on is refused with the reason.

  densefuse-register --fixed=VIS.png --moving=IR.png --save_transform=rig.json
  densefuse-register --fixed=VIS2.png --moving=IR2.png --transform=rig.json \\
      --output=IR2_aligned.png

finds a transform once and applies it to another pair from the same two cameras.

  densefuse-register --fixed=VIS.png --moving=IR.png --points=points.csv \\
      --output=IR_aligned.png

fits the transform to points picked by hand: a row for each with x and y in the fixed
image, then x and y in the moving one; the centre of the first pixel is (0, 0).

Exit status: 0, or 2 for a mistake and for a registration that is refused.
"""

import pathlib
import sys
from collections.abc import Sequence

import numpy as np
from absl import flags

from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError

_FLAGS = flags.FlagValues()
_FIXED = flags.DEFINE_string(
    "fixed",
    None,
    "The image that stays as it is, usually the visible one.",
    flag_values=_FLAGS,
)
_MOVING = flags.DEFINE_string(
    "moving",
    None,
    "The image that is laid over the fixed one, usually the infrared one; its size and "
    "bit depth may differ.",
    flag_values=_FLAGS,
)
_MODEL = flags.DEFINE_enum(
    "model",
    "affine",
    ["translation", "similarity", "affine", "homography"],
    "What the transform may do: shift; scale and turn as well; shear as well; or "
    "perspective.",
    flag_values=_FLAGS,
)
_POINTS = flags.DEFINE_string(
    "points",
    None,
    "A CSV file of four or more points picked by hand, fixed_x,fixed_y,moving_x,"
    "moving_y, to which the transform is fitted instead.",
    flag_values=_FLAGS,
)
_TRANSFORM = flags.DEFINE_string(
    "transform",
    None,
    "A file that --save_transform wrote: its transform is applied.",
    flag_values=_FLAGS,
)
_SAVE_TRANSFORM = flags.DEFINE_string(
    "save_transform",
    None,
    "Write the transform to this file, as JSON.",
    flag_values=_FLAGS,
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Write the aligned moving image.", flag_values=_FLAGS
)
_FIXED_OUTPUT = flags.DEFINE_string(
    "fixed_output",
    None,
    "Write the fixed image, cropped to the area that both cover.",
    flag_values=_FLAGS,
)
_CHECKERBOARD = flags.DEFINE_string(
    "checkerboard",
    None,
    "Write a picture of both images in turn, in squares: aligned edges go on across "
    "them.",
    flag_values=_FLAGS,
)
_UNCOVERED = flags.DEFINE_enum(
    "uncovered",
    "crop",
    ["crop", "black", "fixed"],
    "What becomes of the pixels that the moving image does not cover: cut off, or left "
    "at the fixed image's size, black or showing the fixed image.",
    flag_values=_FLAGS,
)
_IMAGES = (_OUTPUT, _FIXED_OUTPUT, _CHECKERBOARD)


def main() -> None:
    paths = _given(_FIXED), _given(_MOVING)
    if _TRANSFORM.value is not None:
        for flag in (_POINTS, _MODEL):
            if _FLAGS[flag.name].present:
                raise UserError(f"--{flag.name} does not go with --transform")
    _check_outputs()

    from densefuse_tf import registration
    from densefuse_tf.io import images

    fixed, moving = map(images.read, paths)
    for flag, image in ((_OUTPUT, moving), (_FIXED_OUTPUT, fixed)):
        _check_depth(flag, image)
    found = _registration(fixed, moving, paths)
    print(_summary(found), flush=True)
    if not found.accepted:
        raise UserError(
            f"{paths[1]} is not registered to {paths[0]}: {found.reason}; "
            "--points takes points picked by hand"
        )
    if any(flag.value is not None for flag in _IMAGES):
        alignment = registration.Alignment(found, uncovered=_UNCOVERED.value)
        if alignment.area is not None:
            area = alignment.area
            print(
                f"common area: rows {area.top} to {area.bottom - 1}, columns "
                f"{area.left} to {area.right - 1}"
            )
        fixed, moving = alignment.align(fixed, moving)
        for flag, image in ((_OUTPUT, moving), (_FIXED_OUTPUT, fixed)):
            if flag.value is not None:
                images.write(flag.value, image)
        if _CHECKERBOARD.value is not None:
            images.write(_CHECKERBOARD.value, registration.checkerboard(fixed, moving))
    if _SAVE_TRANSFORM.value is not None:
        registration.save(_SAVE_TRANSFORM.value, found)


def _given(flag: flags.FlagHolder[str | None]) -> str:
    """Returns the file that a flag names, which has to be given."""
    if flag.value is None:
        raise UserError(
            f"--{flag.name} is missing: expected --fixed and --moving, the two images "
            "of a pair"
        )
    return flag.value


def _registration(fixed: np.ndarray, moving: np.ndarray, paths: tuple[str, str]):
    """Finds the registration that the flags ask for."""
    from densefuse_tf import registration

    if _TRANSFORM.value is not None:
        found = registration.load(_TRANSFORM.value)
        for image, shape, flag in (
            (fixed, found.fixed_shape, _FIXED),
            (moving, found.moving_shape, _MOVING),
        ):
            if image.shape[:2] != shape:
                raise UserError(
                    f"{flag.value} is {image.shape[0]}x{image.shape[1]}: expected "
                    f"{shape[0]}x{shape[1]}, as the --{flag.name} image of "
                    f"{_TRANSFORM.value}"
                )
        return found
    if _POINTS.value is not None:
        return registration.from_points(
            *registration.read_points(_POINTS.value),
            shapes=(fixed.shape[:2], moving.shape[:2]),
            model=_MODEL.value,
            name=_POINTS.value,
        )
    return registration.register(fixed, moving, model=_MODEL.value, names=paths)


def _summary(found) -> str:
    """The transform and its measures, a line each."""
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


def _check_outputs() -> None:
    """Refuses outputs where they would do harm, before the work."""
    from densefuse_tf.io import files
    from densefuse_tf.io import formats
    from densefuse_tf.io import outputs

    def given(named: Sequence[flags.FlagHolder]) -> dict[str, pathlib.Path]:
        return {
            f"--{flag.name}": pathlib.Path(flag.value)
            for flag in named
            if flag.value is not None
        }

    read = given((_FIXED, _MOVING, _POINTS, _TRANSFORM))
    written = given((*_IMAGES, _SAVE_TRANSFORM))
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
        files.check_writable(path.parent)


def _check_depth(flag: flags.FlagHolder[str | None], image: np.ndarray) -> None:
    """Refuses a name of a format that has no room for the bits of an image."""
    from densefuse_tf.io import formats

    if flag.value is None or image.dtype == np.uint8:
        return
    deep = [suffix for suffix, each in formats.WRITTEN.items() if each.is_deep]
    if pathlib.Path(flag.value).suffix.lower() not in deep:
        raise UserError(
            f"--{flag.name}={flag.value}: the image has {image.dtype} values: expected "
            f"a name ending in {' or '.join(deep)}"
        )


def run(argv: list[str] | None = None) -> int:
    """The command `densefuse-register`; returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(run())
