r"""Measures how well pairs are registered, and beside two other programs' methods.

    python benchmarks/registration.py --data_dir=../shared
    python benchmarks/registration.py --data_dir=../shared --parts=landmarks,speed
    python benchmarks/registration.py --data_dir=../shared --warps=2 --wrong=2 \
        --csv=registration.csv

--data_dir holds registration/ and roadscene_raw/ (pairs that are not aligned, with
landmarks or the truth), tno/ and roadscene/ (pairs that are), as the project's
../shared does. The parts:

- landmarks: the error at points that were picked by hand.
- raw: pairs of roadscene_raw/ as two cameras took them, of other fields of view. The
  error over a 5x5 grid of the visible image, of the points that the infrared one shows,
  in its pixels.
- misaligned: how often the quick check warns of aligned pairs as they are, and when the
  infrared image is shifted by 10 pixels or turned by 3 degrees; and its time beside
  that of fusing a pair of 576x768.
- warps: every aligned pair with the infrared image warped at random: shifted by up to
  8 % of its width, scaled by 0.85 to 1.15, turned by up to 6 degrees, sheared by up to
  2 %; what the warp leaves empty is cropped away, and half of the images are resized to
  0.6 to 1.4 times their size. The error against the warp, and against the warp after
  the registration that is found for the pair as it is: aligned pairs are themselves
  off by some pixels.
- wrong: every visible image with infrared images of other pairs, which must be refused.
- speed: a pair of 576x768 and one of 1080x1920, and the memory they take, beside the
  time of a product of two 2048x2048 matrices. It runs first, before anything else takes
  memory.
- fused: the metrics of a pair that is warped, registered and fused, beside those of the
  pair aligned by the true warp.

Errors are in pixels of the visible (fixed) image: the root mean square over its four
corners, or over the landmarks, there in pixels of the moving image. SimpleITK (mutual
information, affine, where it is installed: pip install SimpleITK) and scikit-image's
phase correlation start from the images as they are; they register the landmark pairs
and the first warp of each pair.
"""

import csv
import itertools
import json
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import measuring
import numpy as np
from absl import flags
from skimage import registration as skimage_registration
from skimage import transform

from densefuse_tf import registration
from densefuse_tf import startup
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.registration import transforms

_PARTS = ("speed", "landmarks", "raw", "misaligned", "warps", "wrong", "fused")
_FLAGS = flags.FlagValues()
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "../shared", "The folder of the pairs.", flag_values=_FLAGS
)
_RUN_PARTS = flags.DEFINE_list(
    "parts", ",".join(_PARTS), "What to measure.", flag_values=_FLAGS
)
_WARPS = flags.DEFINE_integer(
    "warps", 10, "Random warps of each aligned pair.", 1, flag_values=_FLAGS
)
_WRONG = flags.DEFINE_integer(
    "wrong",
    20,
    "Infrared images of other pairs for each visible image.",
    1,
    28,
    flag_values=_FLAGS,
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "The seed of the random warps.", flag_values=_FLAGS
)
_CSV = flags.DEFINE_string(
    "csv", None, "Also write a row for each registration.", flag_values=_FLAGS
)
_OTHERS = flags.DEFINE_bool(
    "others", True, "Also run SimpleITK and phase correlation.", flag_values=_FLAGS
)
_COLUMNS = (
    "part pair case accepted distinctness consistency score error of_unwarped "
    "mutual_information phase_correlation gradient_before gradient_after"
).split()
_MATRIX_SIDE = 2048


class Pair(NamedTuple):
    """A pair of grey images, and points (x, y) of the same places where known."""

    name: str
    fixed: np.ndarray
    moving: np.ndarray
    points: tuple[np.ndarray, np.ndarray] | None = None


def main() -> None:
    unknown = set(_RUN_PARTS.value) - set(_PARTS)
    if unknown:
        raise UserError(f"--parts={unknown.pop()}: expected some of {_PARTS}")
    folder = pathlib.Path(_DATA_DIR.value)
    rows: list[dict] = []
    aligned = aligned_pairs(folder)
    if not aligned and set(_RUN_PARTS.value) - {"landmarks", "raw"}:
        raise UserError(f"{folder}: has no tno/VIS<n>.png: expected --data_dir=FOLDER")
    if "speed" in _RUN_PARTS.value:
        speed(next(pair for pair in aligned if pair.fixed.shape == (576, 768)))
    if "landmarks" in _RUN_PARTS.value:
        rows += shown(landmarks(folder / "registration"))
        summarize_landmarks(rows)
    if "raw" in _RUN_PARTS.value:
        found = shown(raw(folder / "roadscene_raw"))
        accepted = [row["error"] for row in found if row["accepted"]]
        print(
            f"raw: {len(accepted)} of {len(found)} accepted; error of these: median "
            f"{np.median(accepted):.2f}, largest {max(accepted):.2f}"
        )
        rows += found
    if "misaligned" in _RUN_PARTS.value:
        misaligned(aligned)
    if "warps" in _RUN_PARTS.value:
        found = shown(warps(aligned))
        summarize_warps(found)
        rows += found
    if "wrong" in _RUN_PARTS.value:
        found = shown(wrong(aligned))
        accepted = [f"{row['pair']}/{row['case']}" for row in found if row["accepted"]]
        share = 100 * len(accepted) / len(found)
        print(f"wrong pairs: {len(accepted)} of {len(found)} accepted, {share:.1f} %")
        print(" ".join(accepted))
        rows += found
    if _CSV.value is not None:
        with open(_CSV.value, "w", newline="") as file:
            writer = csv.DictWriter(file, _COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    if "fused" in _RUN_PARTS.value:
        fused(next(pair for pair in aligned if pair.name == "tno6"))


def aligned_pairs(folder: pathlib.Path) -> list[Pair]:
    sources = [
        (
            "tno",
            sorted((folder / "tno").glob("VIS*.png"), key=lambda p: int(p.stem[3:])),
        ),
        ("roadscene", sorted((folder / "roadscene/visible").glob("*.jpg"))),
    ]
    pairs = []
    for kind, paths in sources:
        for path in paths:
            number = path.stem.removeprefix("VIS").removeprefix("FLIR_")
            other = path.parent.parent / "infrared" / path.name
            if kind == "tno":
                other = path.with_name(path.name.replace("VIS", "IR"))
            pairs.append(Pair(kind + number, read(path), read(other)))
    return pairs


def read(path: pathlib.Path) -> np.ndarray:
    return pixels.gray(images.read(path))


def shown(rows: Iterator[dict]) -> list[dict]:
    """The rows, each printed when it is there."""
    kept = []
    for row in rows:
        kept.append(row)
        values = (
            f"{key} {value:.3g}" if isinstance(value, float) else str(value)
            for key, value in row.items()
            if value is not None and not key.startswith("gradient")
        )
        print("  ".join(values), flush=True)
    return kept


def row(part: str, pair: str, case: object, found, **measures) -> dict:
    before, after = found.total_gradient or (None, None)
    return {
        "part": part,
        "pair": pair,
        "case": case,
        "accepted": found.accepted,
        "distinctness": found.distinctness,
        "consistency": found.consistency,
        "score": found.score,
        **measures,
        "gradient_before": before,
        "gradient_after": after,
    }


def landmarks(folder: pathlib.Path) -> Iterator[dict]:
    for path in sorted(folder.glob("*.json")):
        points = json.loads(path.read_text())
        fixed, moving = (
            read(path.with_name(f"{path.stem}_{which}.png"))
            for which in ("fixed", "moving")
        )
        source, target = (np.array(points[which]) for which in ("fixed", "moving"))

        def error(matrix, source=source, target=target) -> float:
            distances = transforms.apply(matrix, source) - target
            return float(np.sqrt((distances**2).sum(axis=1).mean()))

        found = registration.register(fixed, moving)
        others = {
            name: error(matrix) for name, matrix in other_methods(fixed, moving).items()
        }
        yield row(
            "landmarks", path.stem, "", found, error=error(found.matrix), **others
        )


def raw(folder: pathlib.Path) -> Iterator[dict]:
    truth = json.loads((folder / "truth.json").read_text())
    for name, values in truth.items():
        fixed = read(folder / f"{name}_visible.jpg")
        moving = read(folder / f"{name}_infrared.png")
        ends = [np.linspace(0, side - 1, 5) for side in fixed.shape[::-1]]
        grid = np.stack(np.meshgrid(*ends), axis=-1).reshape(-1, 2)
        matrix = np.array(values["homography_from_visible_to_infrared"])
        places = transforms.apply(matrix, grid)
        inside = ((places >= 0) & (places < moving.shape[::-1])).all(axis=1)
        found = registration.register(fixed, moving)
        distances = transforms.apply(found.matrix, grid[inside]) - places[inside]
        error = float(np.sqrt((distances**2).sum(axis=1).mean()))
        yield row("raw", name, "", found, error=error)


def summarize_landmarks(rows: Sequence[dict]) -> None:
    print(f"landmarks: {'':12}{'median':>9}{'largest':>9}{'within 5':>9}")
    for name in ("error", "mutual_information", "phase_correlation"):
        errors = np.array([row[name] for row in rows if name in row])
        if errors.size:
            print(
                f"  {name:21}{np.median(errors):9.2f}{errors.max():9.2f}"
                f"{(errors <= 5).sum():6} of {len(errors)}"
            )


def misaligned(aligned: Sequence[Pair]) -> None:
    for name, shift, degrees in (
        ("as they are", (0, 0), 0),
        ("10 right", (10, 0), 0),
        ("10 left", (-10, 0), 0),
        ("10 down", (0, 10), 0),
        ("10 up", (0, -10), 0),
        ("3 degrees", (0, 0), 3),
        ("-3 degrees", (0, 0), -3),
    ):
        warned = []
        for pair in aligned:
            height, width = pair.moving.shape
            centre = np.array([(width - 1) / 2, (height - 1) / 2])
            turn = transform.EuclideanTransform(rotation=np.radians(degrees)).params
            matrix = moved(centre + shift) @ turn @ moved(-centre)
            other = transform.warp(
                pair.moving.astype(np.float32),
                np.linalg.inv(matrix),
                mode="edge",
                preserve_range=True,
            )
            other = np.clip(np.rint(other), 0, 255).astype(np.uint8)
            if registration.looks_misaligned(pair.fixed, other):
                warned.append(pair.name)
        print(
            f"misaligned, {name:12}{len(warned):3} of {len(aligned)} warned of",
            *(warned if name == "as they are" else ()),
            flush=True,
        )
    startup.import_tensorflow()
    from densefuse_tf.fusion.fuser import Fuser
    from densefuse_tf.fusion.settings import FusionSettings

    pair = next(pair for pair in aligned if pair.fixed.shape == (576, 768))
    fuser = Fuser(FusionSettings("1e2"))
    sources = [pair.moving, pair.fixed]
    fuser.fuse(sources)
    checks, fusions = [], []
    for _ in range(9):
        checks.append(
            measuring.seconds(lambda: registration.looks_misaligned(*sources))
        )
        fusions.append(measuring.seconds(lambda: fuser.fuse(sources)))
    print(
        f"misaligned: {1000 * min(checks):.1f} ms a pair, "
        f"{100 * min(checks) / min(fusions):.1f} % of the "
        f"{1000 * min(fusions):.0f} ms of fusing it"
    )


def warps(aligned: Sequence[Pair]) -> Iterator[dict]:
    """The first warp of every pair, then the second: a part of them is fair as well."""
    plain: dict[str, np.ndarray] = {}
    for number, (index, pair) in itertools.product(
        range(_WARPS.value), enumerate(aligned)
    ):
        if pair.name not in plain:
            plain[pair.name] = registration.register(pair.fixed, pair.moving).matrix
        random = np.random.default_rng([_SEED.value, index, number])
        warped, warp = warped_at_random(pair.moving, random)
        found = registration.register(pair.fixed, warped)
        shape = pair.fixed.shape
        others = {}
        if number == 0:
            others = {
                name: transforms.distance(matrix, warp, shape)
                for name, matrix in other_methods(pair.fixed, warped).items()
            }
        yield row(
            "warps",
            pair.name,
            number,
            found,
            error=transforms.distance(found.matrix, warp, shape),
            of_unwarped=transforms.distance(
                found.matrix, warp @ plain[pair.name], shape
            ),
            **others,
        )


def warped_at_random(
    image: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A warped image without an empty border, and the matrix from the image to it."""
    height, width = image.shape
    shift = random.uniform(-0.08, 0.08, 2) * width
    change = transform.AffineTransform(
        scale=random.uniform(0.85, 1.15),
        rotation=np.radians(random.uniform(-6, 6)),
        shear=random.uniform(-0.02, 0.02),
    ).params
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = moved(shift + centre) @ change @ moved(-centre)
    warped = transform.warp(
        image.astype(np.float32),
        np.linalg.inv(matrix),
        order=3,
        cval=np.nan,
        preserve_range=True,
    )
    # The area that the warped image fills, as of an image that is registered.
    filled = registration.Registration(
        transforms.of_matrix(np.linalg.inv(matrix), "affine"),
        "affine",
        image.shape,
        image.shape,
    )
    area = registration.common_area(filled)
    warped = np.nan_to_num(warped[area.slices])
    matrix = moved((-area.left, -area.top)) @ matrix
    if random.random() < 0.5:
        factor = random.uniform(0.6, 1.4)
        shape = tuple(round(side * factor) for side in warped.shape)
        sy, sx = (new / old for new, old in zip(shape, warped.shape, strict=True))
        warped = transform.resize(
            warped, shape, anti_aliasing=True, preserve_range=True
        )
        resizing = [[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]]
        matrix = np.array(resizing) @ matrix
    return np.clip(np.rint(warped), 0, 255).astype(np.uint8), matrix


def moved(shift: Sequence[float]) -> np.ndarray:
    return np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]])


def summarize_warps(rows: Sequence[dict]) -> None:
    accepted = [row for row in rows if row["accepted"]]
    error = np.array([row["error"] for row in accepted])
    print(
        f"warps: {len(rows) - len(accepted)} of {len(rows)} refused "
        f"({100 - 100 * len(accepted) / len(rows):.1f} %); within 10 px "
        f"{100 * (error <= 10).mean():.1f} % of the accepted"
    )
    same = np.array([row["of_unwarped"] for row in accepted])
    print(
        f"  against the pair as it is: within 2 px {100 * (same <= 2).mean():.1f} %, "
        f"median {np.median(same):.2f}, 90 % {np.quantile(same, 0.9):.2f}"
    )
    print(f"  {'median error':21}{'TNO':>9}{'RoadScene':>11}{'within 10':>11}")
    for name in ("error", "mutual_information", "phase_correlation"):
        chosen = accepted if name == "error" else [row for row in rows if name in row]
        if chosen:
            medians = [
                np.median([r[name] for r in chosen if r["pair"].startswith(kind)])
                for kind in ("tno", "roadscene")
            ]
            near = np.mean([row[name] <= 10 for row in chosen])
            print(f"  {name:21}{medians[0]:9.2f}{medians[1]:11.2f}{100 * near:9.0f} %")


def wrong(aligned: Sequence[Pair]) -> Iterator[dict]:
    chosen = [
        np.random.default_rng([_SEED.value, index]).permutation(len(aligned) - 1)
        for index in range(len(aligned))
    ]
    for number, (index, pair) in itertools.product(
        range(_WRONG.value), enumerate(aligned)
    ):
        others = [other for other in aligned if other.name != pair.name]
        other = others[chosen[index][number]]
        found = registration.register(pair.fixed, other.moving)
        yield row("wrong", pair.name, other.name, found)


def other_methods(fixed: np.ndarray, moving: np.ndarray) -> dict[str, np.ndarray]:
    """What other programs find: matrices from the fixed to the moving image.

    They get the moving image at the fixed one's size.
    """
    if not _OTHERS.value:
        return {}
    sy, sx = (m / f for m, f in zip(moving.shape, fixed.shape, strict=True))
    resizing = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])
    resized = transform.resize(
        moving, fixed.shape, anti_aliasing=True, preserve_range=True
    )
    shift, _, _ = skimage_registration.phase_cross_correlation(
        fixed, resized, upsample_factor=10
    )
    found = {"phase_correlation": resizing @ moved(-shift[::-1])}
    try:
        import SimpleITK  # noqa: F401
    except ImportError:
        return found
    return {"mutual_information": resizing @ by_simpleitk(fixed, resized), **found}


def by_simpleitk(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Mattes mutual information, affine, coarse to fine, from the identity."""
    import SimpleITK as sitk

    pair = [
        sitk.GetImageFromArray(image.astype(np.float32)) for image in (fixed, moving)
    ]
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(50)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.25)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 200)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    start = sitk.CenteredTransformInitializer(
        pair[0],
        pair[1],
        sitk.AffineTransform(2),
        sitk.CenteredTransformInitializerFilter.GEOMETRY,
    )
    method.SetInitialTransform(start)
    try:
        found = method.Execute(*pair)
    except RuntimeError:
        # It left the image.
        return np.eye(3)
    ends = np.array([[0, 0], [1, 0], [0, 1]], np.float64)
    origin, right, down = (np.array(found.TransformPoint(end)) for end in ends)
    return np.array([*np.stack([right - origin, down - origin, origin], 1), [0, 0, 1]])


def speed(pair: Pair) -> None:
    """Times two sizes; the memory is what the process needs in all."""
    matrix = np.ones((_MATRIX_SIDE, _MATRIX_SIDE), np.float32)
    registration.register(pair.fixed, pair.moving)  # compiles
    for height, width in ((576, 768), (1080, 1920)):
        fixed, moving = (
            transform.resize(image, (height, width), preserve_range=True).astype(
                np.uint8
            )
            for image in (pair.fixed, pair.moving)
        )
        times, references, cores = [], [], []
        for _ in range(3):
            references.append(measuring.seconds(lambda: matrix @ matrix))
            before = time.process_time()
            times.append(
                measuring.seconds(
                    lambda pair=(fixed, moving): registration.register(*pair)
                )
            )
            cores.append(time.process_time() - before)
        print(
            f"{height}x{width}: {min(times):.2f} s, {min(cores):.2f} s of processor "
            f"time; matrix product {min(references):.3f} s, ratio "
            f"{min(times) / min(references):.1f}; peak memory "
            f"{measuring.peak_memory():.2f} GB",
            flush=True,
        )


def fused(pair: Pair) -> None:
    """Compares the metrics after registration with those after the true warp."""
    startup.import_tensorflow()
    import densefuse_tf
    from densefuse_tf import metrics

    warped, warp = warped_at_random(pair.moving, np.random.default_rng(_SEED.value))
    found = registration.register(pair.fixed, warped)
    plain = registration.register(pair.fixed, pair.moving)
    # Pairs that are said to be aligned are off by some pixels themselves.
    truth = registration.Registration(
        transforms.of_matrix(warp @ plain.matrix, "affine"),
        "affine",
        pair.fixed.shape,
        warped.shape,
    )
    area = registration.common_area(truth).slices
    results = []
    for one in (truth, found):
        vis = np.ascontiguousarray(pair.fixed[area])
        ir = np.ascontiguousarray(registration.warp(warped, one)[area])
        results.append(metrics.evaluate(ir, vis, densefuse_tf.fuse([ir, vis])))
    print(f"{'':12}{'true warp':>11}{'registered':>12}{'difference':>12}")
    for name, expected in results[0].items():
        value = results[1][name]
        print(
            f"{name:12}{expected:11.4f}{value:12.4f}"
            f"{100 * (value / expected - 1):10.2f} %"
        )


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
