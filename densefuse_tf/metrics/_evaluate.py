"""Several metrics at once, those of Table II unless others are selected."""

import concurrent.futures
from collections.abc import Iterable, Mapping

import numpy as np

from densefuse_tf import naming
from densefuse_tf.errors import UserError
from densefuse_tf.metrics.metric import CONVENTIONS
from densefuse_tf.metrics.metric import METRICS
from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import check_images
from densefuse_tf.metrics.metric import checked

# Table II of the paper, in its order.
TABLE_2 = ("En", "Qabf", "SCD", "FMI_w", "FMI_dct", "SSIM_a", "MS_SSIM")
SELECTIONS: Mapping[str, tuple[str, ...]] = {
    "paper": TABLE_2,
    # The spreadsheet of the MATLAB toolkit.
    "toolkit": tuple("En MI SD SF AG SCD CC VIF MSE PSNR Qabf".split()),
    # The VIFB benchmark, in the order of its tables.
    "vifb": tuple("AG CE EI En MI PSNR Qabf Q_CB Q_CV RMSE SF SSIM SD".split()),
    "all": tuple(METRICS),
}
_CORES = 2


def select(selection: str | Iterable[str]) -> tuple[str, ...]:
    """Finds the metrics that a selection names.

    Args:
      selection: Names of metrics and of SELECTIONS, one by one or in one string with
        commas between them, in any case and with - or _.

    Returns:
      The names of the metrics as METRICS has them, in the order given, each once.

    Raises:
      UserError: A name is unknown, or there is none.
    """
    if not isinstance(selection, Iterable):
        raise UserError(f"metrics is {selection!r}: expected names, as 'En,SD'")
    names = selection.split(",") if isinstance(selection, str) else list(selection)
    known = {name: (name,) for name in METRICS} | dict(SELECTIONS)
    found: list[str] = []
    for name in names:
        chosen = naming.find(str(name), known)
        if chosen is None:
            raise UserError(
                f"metric {name!r} is unknown: expected "
                f"{', '.join(SELECTIONS)} or names out of {', '.join(METRICS)}"
                + naming.did_you_mean(name, known)
            )
        found.extend(known[chosen])
    if not found:
        raise UserError(f"no metrics are named: expected some of {', '.join(METRICS)}")
    return tuple(dict.fromkeys(found))


@checked(conventions=CONVENTIONS[1:])
def evaluate(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    metrics: str | Iterable[str] = "paper",
    convention: Convention = "intended",
) -> dict[str, float]:
    """Computes a selection of the metrics for one pair.

    Keeps two cores busy, and mostly without the interpreter's lock, so that the pairs
    of a set can be evaluated side by side in threads on more of them.

    Args:
      ir: Infrared image, [H, W] uint8, as large as the metrics need: 44x44 or larger
        for the default.
      vis: Visible image, same size.
      fused: Fused image, same size. Under the convention "vifb" each image may be
        [H, W, 3]; the channels are evaluated one by one.
      metrics: "paper" for the seven of Table II, "toolkit" for the eleven of the MATLAB
        toolkit, "vifb" for the thirteen of the VIFB benchmark, "all", or names
        of METRICS, as `select` takes them.
      convention: "intended", "toolkit", "authors" or "vifb". A metric without
        values of its own under a convention has its intended one.

    Returns:
      The values by name in the order of the selection: En, Qabf, SCD, FMI_w, FMI_dct,
      SSIM_a and MS_SSIM by default, the paper's order.

    Raises:
      UserError: An image has another dtype, shape or size, there are more than two
        sources, or a metric or the convention is unknown.
    """
    names = select(metrics)
    smallest = max(METRICS[name].smallest for name in names)
    images = {"ir": ir, "vis": vis, "fused": fused}
    check_images(images, smallest, colour=convention == "vifb")
    with concurrent.futures.ThreadPoolExecutor(_CORES) as pool:
        # Those that take long come first, so that both threads end together.
        futures = {
            name: pool.submit(METRICS[name], ir, vis, fused, convention=convention)
            for name in sorted(names, key=lambda name: -METRICS[name].cost)
        }
        return {name: futures[name].result() for name in names}
