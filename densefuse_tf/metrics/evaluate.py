"""Several metrics at once, those of Table II unless others are selected."""

import concurrent.futures
from collections.abc import Iterable

import numpy as np

from densefuse_tf.metrics.metric import CONVENTIONS
from densefuse_tf.metrics.metric import grey
from densefuse_tf.metrics.metric import two_sources
from densefuse_tf.metrics.registry import METRICS
from densefuse_tf.metrics.registry import SELECTIONS
from densefuse_tf.metrics.registry import select

TABLE_2 = SELECTIONS["paper"]
_CORES = 2


@two_sources(conventions=CONVENTIONS[1:])
def evaluate(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    metrics: str | Iterable[str] = "paper",
    convention: str = CONVENTIONS[0],
) -> dict[str, float]:
    """Computes a selection of the metrics for one pair.

    Keeps two cores busy, and mostly without the interpreter's lock, so that the pairs
    of a set can be evaluated side by side in threads on more of them.

    Args:
      ir: Infrared image, [H, W] uint8, as large as the metrics need: 44x44 or larger
        for the default.
      vis: Visible image, same size.
      fused: Fused image, same size.
      metrics: "paper" for the seven of Table II, "toolkit" for the eleven of the MATLAB
        toolkit, "all", or names of METRICS, as `select` takes them.
      convention: "intended", "toolkit" or "authors". A metric without values of its own
        under a convention has its intended one.

    Returns:
      The values by name in the order of the selection: En, Qabf, SCD, FMI_w, FMI_dct,
      SSIM_a and MS_SSIM by default, the paper's order.

    Raises:
      UserError: An image has another dtype, shape or size, there are more than two
        sources, or a metric or the convention is unknown.
    """
    names = select(metrics)
    smallest = max(METRICS[name].smallest for name in names)
    for name, image in (("ir", ir), ("vis", vis), ("fused", fused)):
        grey(name, image, smallest=smallest)
    with concurrent.futures.ThreadPoolExecutor(_CORES) as pool:
        # Those that take long come first, so that both threads end together.
        futures = {
            name: pool.submit(METRICS[name], ir, vis, fused, convention=convention)
            for name in sorted(names, key=lambda name: -METRICS[name].cost)
        }
        return {name: futures[name].result() for name in names}
