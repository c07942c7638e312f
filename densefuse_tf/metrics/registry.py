"""What there is to know of every metric, by the name it has in tables.

A new metric is one module with one function, decorated with inputs.two_sources or
inputs.fused_alone, and one entry here.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.metrics.ag import ag
from densefuse_tf.metrics.cc import cc
from densefuse_tf.metrics.cross_entropy import cross_entropy
from densefuse_tf.metrics.entropy import entropy
from densefuse_tf.metrics.fmi import fmi
from densefuse_tf.metrics.metric import CONVENTIONS
from densefuse_tf.metrics.mi import mi
from densefuse_tf.metrics.ms_ssim import ms_ssim
from densefuse_tf.metrics.mse import mse
from densefuse_tf.metrics.mse import psnr
from densefuse_tf.metrics.mse import rmse
from densefuse_tf.metrics.nabf import nabf
from densefuse_tf.metrics.qabf import qabf
from densefuse_tf.metrics.scd import scd
from densefuse_tf.metrics.sd import sd
from densefuse_tf.metrics.sf import sf
from densefuse_tf.metrics.ssim_a import ssim
from densefuse_tf.metrics.ssim_a import ssim_a
from densefuse_tf.metrics.vif import vif


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric and what a table or a document says of it.

    Attributes:
      name: Its name in tables.
      title: What the name stands for.
      function: The function that computes it.
      formula: The definition in one line; the function's docstring has it in full.
      range: The least and the greatest value of the intended definition.
      reference: The paper that defines it, its DOI at the end.
      higher_is_better: The direction.
      options: Keyword arguments of the function that make it this metric.
      cost: How long it takes, roughly, against the quick ones.
    """

    name: str
    title: str
    function: Callable[..., float]
    formula: str
    range: tuple[float, float]
    reference: str
    higher_is_better: bool = True
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    cost: int = 1

    @property
    def arrow(self) -> str:
        """The direction as tables show it."""
        return "↑" if self.higher_is_better else "↓"

    @property
    def conventions(self) -> tuple[str, ...]:
        """The conventions under which it has values of its own, intended first."""
        return vars(self.function)["conventions"]

    @property
    def smallest(self) -> int:
        """The least height and width, in pixels, that it is defined for."""
        return vars(self.function)["smallest"]

    def __call__(
        self,
        ir: np.ndarray,
        vis: np.ndarray,
        fused: np.ndarray,
        *,
        convention: str = CONVENTIONS[0],
    ) -> float:
        """Computes the metric for one pair.

        Args:
          ir: Infrared image, [H, W] uint8.
          vis: Visible image, same size.
          fused: Fused image, same size.
          convention: One of CONVENTIONS; where the metric has no values of its own
            under it, the intended ones.

        Raises:
          UserError: As the metric's function does.
        """
        given = {"ir": ir, "vis": vis, "fused": fused}
        images = {name: given[name] for name in vars(self.function)["images"]}
        return self.function(**images, **self.options, convention=convention)


_FAST_FMI = "Haghighat and Razian, AICT 2014, doi:10.1109/ICAICT.2014.7036000"
_SURVEY = "Ma, Ma and Li, Information Fusion 45, 2019, doi:10.1016/j.inffus.2018.02.004"
_REVIEW = (
    "Jagalingam and Hegde, Aquatic Procedia 4, 2015, doi:10.1016/j.aqpro.2015.02.019"
)
_SSIM = (
    "Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13(4), 2004, "
    "doi:10.1109/TIP.2003.819861"
)

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            name="En",
            title="entropy",
            function=entropy,
            formula="-Σ p log2 p over the 256 grey levels of F",
            range=(0, 8),
            reference="Roberts, van Aardt and Ahmed, J. Applied Remote Sensing 2, "
            "2008, doi:10.1117/1.2945910",
        ),
        Metric(
            name="Qabf",
            title="edges of the sources that are kept",
            function=qabf,
            formula="Σ Q g / Σ g over both sources, g Sobel strength, Q edge kept",
            range=(0, 0.9994 * 0.9879),
            reference="Xydeas and Petrovic, Electronics Letters 36(4), 2000, "
            "doi:10.1049/el:20000267",
        ),
        Metric(
            name="SCD",
            title="sum of the correlations of differences",
            function=scd,
            formula="corr2(F - B, A) + corr2(F - A, B)",
            range=(-2, 2),
            reference="Aslantas and Bendes, AEU 69(12), 2015, "
            "doi:10.1016/j.aeue.2015.09.004",
        ),
        Metric(
            name="FMI_w",
            title="feature mutual information, wavelet coefficients",
            function=fmi,
            formula="mean of 2 I / (H + H) over 3x3 windows of the wavelet bands",
            options={"feature": "wavelet"},
            cost=8,
            range=(-0.1, 1.1),
            reference=_FAST_FMI,
        ),
        Metric(
            name="FMI_dct",
            title="feature mutual information, cosine coefficients",
            function=fmi,
            formula="mean of 2 I / (H + H) over 3x3 windows of the cosine transform",
            options={"feature": "dct"},
            cost=4,
            range=(-0.1, 1.1),
            reference=_FAST_FMI,
        ),
        Metric(
            name="SSIM_a",
            title="mean structural similarity",
            function=ssim_a,
            formula="(SSIM(A, F) + SSIM(B, F)) / 2, border repeated",
            range=(-1, 1),
            reference=_SSIM,
        ),
        Metric(
            name="MS_SSIM",
            title="multi-scale similarity to the best patch of the sources",
            function=ms_ssim,
            formula="Π mean(q)^w over 3 scales, q similarity of F to the desired patch",
            range=(0, 1),
            reference="Ma, Zeng and Wang, IEEE TIP 24(11), 2015, "
            "doi:10.1109/TIP.2015.2442920",
            cost=2,
        ),
        Metric(
            name="MI",
            title="mutual information",
            function=mi,
            formula="I(A; F) + I(B; F) of the grey levels, in bits",
            range=(0, 16),
            reference="Qu, Zhang and Yan, Electronics Letters 38(7), 2002, "
            "doi:10.1049/el:20020212",
        ),
        Metric(
            name="SD",
            title="standard deviation",
            function=sd,
            formula="sqrt(mean((F - mean F)^2))",
            range=(0, 127.5),
            reference=_SURVEY,
        ),
        Metric(
            name="SF",
            title="spatial frequency",
            function=sf,
            formula="sqrt(mean(row differences^2) + mean(column differences^2))",
            range=(0, 255 * math.sqrt(2)),
            reference="Eskicioglu and Fisher, IEEE Trans. Communications 43(12), 1995, "
            "doi:10.1109/26.477498",
        ),
        Metric(
            name="AG",
            title="average gradient",
            function=ag,
            formula="mean of sqrt((Fx^2 + Fy^2) / 2)",
            range=(0, 255),
            reference="Cui, Feng, Xu, Li and Chen, Optics Communications 341, 2015, "
            "doi:10.1016/j.optcom.2014.12.032",
        ),
        Metric(
            name="CC",
            title="correlation coefficient",
            function=cc,
            formula="(corr2(A, F) + corr2(B, F)) / 2",
            range=(-1, 1),
            reference=_SURVEY,
        ),
        Metric(
            name="VIF",
            title="visual information fidelity",
            function=vif,
            formula="VIF(A, F) + VIF(B, F), pixel domain, 4 scales",
            range=(0, math.inf),
            reference="Sheikh and Bovik, IEEE TIP 15(2), 2006, "
            "doi:10.1109/TIP.2005.859378",
            cost=3,
        ),
        Metric(
            name="MSE",
            title="mean squared error",
            function=mse,
            formula="(mean((A - F)^2) + mean((B - F)^2)) / 2 in [0, 1]",
            range=(0, 1),
            higher_is_better=False,
            reference=_REVIEW,
        ),
        Metric(
            name="PSNR",
            title="peak signal-to-noise ratio",
            function=psnr,
            formula="10 log10(1 / MSE) in dB",
            range=(0, math.inf),
            reference=_REVIEW,
        ),
        Metric(
            name="Nabf",
            title="artifacts: edges that neither source has",
            function=nabf,
            formula="share of F's stronger edges that is lost in A and B",
            range=(0, 1),
            reference="Shreyamsha Kumar, Signal, Image and Video Processing 7, 2013, "
            "doi:10.1007/s11760-012-0361-x",
            higher_is_better=False,
        ),
        Metric(
            name="FMI_pixel",
            title="feature mutual information, Sobel edges",
            function=fmi,
            formula="mean of 2 I / (H + H) over 3x3 windows of MATLAB's edges",
            options={"feature": "edge"},
            cost=4,
            range=(-0.1, 1.1),
            reference=_FAST_FMI,
        ),
        Metric(
            name="CE",
            title="cross entropy",
            function=cross_entropy,
            formula="(Σ a log2(a / f) + Σ b log2(b / f)) / 2 of the histograms",
            range=(-0.54, math.inf),
            reference="Bulanon, Burks and Alchanatis, Biosystems Eng. 103(1), 2009, "
            "doi:10.1016/j.biosystemseng.2009.02.009",
            higher_is_better=False,
        ),
        Metric(
            name="RMSE",
            title="root mean squared error",
            function=rmse,
            formula="(sqrt(mean((A - F)^2)) + sqrt(mean((B - F)^2))) / 2 in [0, 1]",
            range=(0, 1),
            higher_is_better=False,
            reference=_REVIEW,
        ),
        Metric(
            name="SSIM",
            title="sum of the structural similarities",
            function=ssim,
            formula="SSIM(A, F) + SSIM(B, F), windows inside the image",
            range=(-2, 2),
            reference=_SSIM,
        ),
    )
}

SELECTIONS: Mapping[str, tuple[str, ...]] = {
    # Table II of the paper, in its order.
    "paper": ("En", "Qabf", "SCD", "FMI_w", "FMI_dct", "SSIM_a", "MS_SSIM"),
    # The spreadsheet of the MATLAB toolkit.
    "toolkit": tuple("En MI SD SF AG SCD CC VIF MSE PSNR Qabf".split()),
    "all": tuple(METRICS),
}


def select(selection: str | Iterable[str]) -> tuple[str, ...]:
    """Finds the metrics that a selection names.

    Args:
      selection: Names of metrics and of SELECTIONS, one by one or in one string with
        commas between them, in upper or lower case.

    Returns:
      The names of the metrics as METRICS has them, in the order given, each once.

    Raises:
      UserError: A name is unknown, or there is none.
    """
    names = selection.split(",") if isinstance(selection, str) else list(selection)
    known = {name.lower(): (name,) for name in METRICS} | dict(SELECTIONS)
    found: list[str] = []
    for name in names:
        if str(name).strip().lower() not in known:
            raise UserError(
                f"metric {name!r} is unknown: expected "
                f"{', '.join(SELECTIONS)} or names out of {', '.join(METRICS)}"
            )
        found.extend(known[str(name).strip().lower()])
    if not found:
        raise UserError(f"no metrics are named: expected some of {', '.join(METRICS)}")
    return tuple(dict.fromkeys(found))
