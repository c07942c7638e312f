"""Table II as published: its numbers, and the protocol that reproduces them.

The table averages seven metrics over 20 pairs of the TNO set, for both fusion
strategies, four values of lambda and six other methods.

References:
  H. Li, X.-J. Wu: DenseFuse: A fusion approach to infrared and visible images. IEEE TIP
  28(5), 2019. https://doi.org/10.1109/TIP.2018.2887342

Notes:
  The paper does not say which pairs a cell averages. With the images that the authors
  published for other methods, or that those methods give, 21 of the 21 cells of CBF,
  GTF and DeepFuse agree within 0.02 % when SCD and MS_SSIM average all 21 pairs and the
  other metrics the 20 without pair 20.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from densefuse_tf.metrics._evaluate import TABLE_2

METRICS = TABLE_2
# The authors published 21 pairs and average 20. Without pair 20 all seven metrics fit
# (lambda = 1, addition: within 0.3 %); without any other, one is 0.67 % or more off.
PAIRS = (*range(1, 20), 21)
ALL_PAIRS = tuple(range(1, 22))

# Rows "ours": strategy and lambda -> the metrics in the order of METRICS.
OURS = {
    "addition": {
        "1e0": (6.66280, 0.44114, 1.84929, 0.42713, 0.41557, 0.73159, 0.93039),
        "1e1": (6.65139, 0.44039, 1.84549, 0.42707, 0.41552, 0.73246, 0.92896),
        "1e2": (6.65426, 0.44190, 1.84854, 0.42731, 0.41587, 0.73186, 0.92995),
        "1e3": (6.64377, 0.43831, 1.84172, 0.42699, 0.41558, 0.73259, 0.92794),
    },
    "l1_norm": {
        "1e0": (6.83278, 0.47560, 1.71182, 0.43191, 0.38062, 0.71880, 0.85707),
        "1e1": (6.81348, 0.47680, 1.71264, 0.43224, 0.38048, 0.72052, 0.85803),
        "1e2": (6.83091, 0.47684, 1.71705, 0.43129, 0.38109, 0.71901, 0.85975),
        "1e3": (6.84189, 0.47595, 1.72000, 0.43147, 0.38404, 0.72106, 0.86340),
    },
}
STRATEGIES = tuple(OURS)
LAMBDAS = tuple(OURS["addition"])
# The methods the paper compares with.
OTHERS = {
    "CBF": (6.81494, 0.44119, 1.38963, 0.32012, 0.26619, 0.60304, 0.70879),
    "JSR": (6.78576, 0.32572, 1.59136, 0.18506, 0.14184, 0.53906, 0.75523),
    "GTF": (6.63597, 0.40992, 1.00488, 0.41004, 0.39384, 0.70369, 0.80844),
    "JSRSD": (6.78441, 0.32553, 1.59124, 0.18502, 0.14201, 0.53963, 0.75517),
    "CNN": (6.80593, 0.29451, 1.48060, 0.53954, 0.35746, 0.71109, 0.80772),
    "DeepFuse": (6.68170, 0.43989, 1.84525, 0.42438, 0.41357, 0.72949, 0.93353),
}
# Section IV-C: the metrics in which DenseFuse has the best, or the second best value.
CLAIMED_BEST = ("En", "Qabf", "SCD", "FMI_dct", "SSIM_a")
CLAIMED_SECOND = ("FMI_w", "MS_SSIM")


@dataclasses.dataclass(frozen=True)
class Published:
    """Says how a published row was made, where it departs from the other rows.

    Attributes:
      over_21: The metrics that average all 21 pairs.
      options: Options of the method for single pairs.
      jpeg: Pairs whose fused image was stored as JPEG of quality 75 and measured from
        that file.
    """

    over_21: Sequence[str] = ()
    options: Mapping[int, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    jpeg: Sequence[int] = ()


PUBLISHED = {
    "CBF": Published(over_21=("SCD", "MS_SSIM")),
    "GTF": Published(
        over_21=("SCD", "MS_SSIM"),
        options={6: {"lambda": 2.5}, 18: {"lambda": 2.0}, 19: {"lambda": 2.0}},
        jpeg=(1, 2, 3, 4, 5),
    ),
    "DeepFuse": Published(over_21=("SCD", "MS_SSIM")),
}


def name_of(method: str) -> str:
    """Returns the paper's name of a method, CBF of cbf, or the method's own."""
    for name in OTHERS:
        if name.casefold() == method.casefold():
            return name
    return method


def published(name: str, averages: str) -> Published:
    """Returns how a row is made: as published, or with `averages` uniform as all are.

    The name is that of `name_of`, `averages` is one of `settings.AVERAGES`.
    """
    return PUBLISHED.get(name, Published()) if averages == "paper" else Published()


def averaged_pairs(name: str, metric: str, averages: str) -> tuple[int, ...]:
    """Returns the numbers of the pairs that a cell of the table averages."""
    return ALL_PAIRS if metric in published(name, averages).over_21 else PAIRS


def pairs(name: str, averages: str) -> tuple[int, ...]:
    """Returns the numbers of the pairs that a row of the table needs."""
    return ALL_PAIRS if published(name, averages).over_21 else PAIRS


def rows() -> dict[tuple[str, str], dict[str, float]]:
    """Returns the 14 rows of the paper by strategy or method and lambda, by metric."""
    values = {(name, ""): own for name, own in OTHERS.items()}
    values |= {
        (strategy, lambda_): own
        for strategy, by_lambda in OURS.items()
        for lambda_, own in by_lambda.items()
    }
    return {key: dict(zip(METRICS, own, strict=True)) for key, own in values.items()}
