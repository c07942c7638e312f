import inspect
import math
import pathlib
import re

import pytest

from densefuse_tf import metrics
from densefuse_tf.errors import UserError
from densefuse_tf.metrics import METRICS
from densefuse_tf.metrics import SELECTIONS

from .conftest import scene

PAPER = ("En", "Qabf", "SCD", "FMI_w", "FMI_dct", "SSIM_a", "MS_SSIM")
LOWER_IS_BETTER = {"MSE", "RMSE", "Nabf", "CE"}


def test_every_function_of_the_package_is_registered():
    functions = {metric.function for metric in METRICS.values()}
    public = [getattr(metrics, name) for name in metrics.__all__]
    # mef_ssim takes any number of sources; MS_SSIM is that of two.
    rest = (metrics.evaluate, metrics.select, metrics.Metric, metrics.mef_ssim)
    assert functions == {item for item in public if callable(item) and item not in rest}


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_entry_is_complete(metric):
    assert METRICS[metric.name] is metric
    assert metric.title and metric.formula
    assert re.search(r", doi:10\.\d+/\S+$", metric.reference)
    # The DOI of the entry stands in the docstring too.
    doi = metric.reference.partition("doi:")[2]
    assert doi in inspect.getdoc(metric.function)
    assert metric.range[0] < metric.range[1]
    assert metric.conventions[0] == "intended"
    assert metric.arrow == ("↓" if metric.name in LOWER_IS_BETTER else "↑")


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_convention_is_listed_where_it_changes_the_value(metric):
    ir, vis, fused = scene(48, 61)
    fused[:9] = 255
    fused[9:12] = 254
    values = {
        convention: metric(ir, vis, fused, convention=convention)
        for convention in metrics.CONVENTIONS
    }
    assert metric(ir, vis, fused) == values["intended"]
    differing = {name for name, value in values.items() if value != values["intended"]}
    assert differing == set(metric.conventions) - {"intended"}


# The others look at the fused image alone or, like CE, at levels and not at places.
@pytest.mark.parametrize("name", sorted(set(METRICS) - {"En", "SD", "SF", "AG", "CE"}))
def test_a_better_image_scores_better(name):
    """The fused image against its negative, turned upside down."""
    metric = METRICS[name]
    ir, vis, fused = scene(60, 61)
    better, worse = metric(ir, vis, fused), metric(ir, vis, 255 - fused[::-1, ::-1])
    assert (better > worse) == metric.higher_is_better


def test_selections():
    assert SELECTIONS["paper"] == PAPER
    assert SELECTIONS["all"] == tuple(METRICS)
    assert len(SELECTIONS["toolkit"]) == 11
    assert set(SELECTIONS["toolkit"]) < set(METRICS)
    assert metrics.select("paper") == PAPER
    assert metrics.select("En,SD") == metrics.select(["En", "SD"]) == ("En", "SD")
    assert metrics.select(" sd , EN,sd") == ("SD", "En")
    assert metrics.select("VIF,paper") == ("VIF", *PAPER)


@pytest.mark.parametrize("selection", ["Enn", "", "En,,SD", ["SD", "ALLL"], [None]])
def test_select_refuses_unknown_names(selection):
    with pytest.raises(UserError, match=r"^metric .* is unknown: expected paper, .*En"):
        metrics.select(selection)


def test_select_refuses_nothing():
    with pytest.raises(UserError, match="no metrics are named: expected some of En"):
        metrics.select([])


def test_the_document_has_a_row_for_every_metric():
    """Written anew by benchmarks/metrics_table.py."""
    root = pathlib.Path(__file__).resolve().parents[2]
    document = (root / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = [row for row in document.splitlines() if "https://doi.org/" in row]
    assert len(rows) == len(METRICS)
    for row, metric in zip(rows, METRICS.values(), strict=True):
        paper, _, doi = metric.reference.partition(", doi:")
        assert row.startswith(f"| {metric.name} {metric.arrow}<br>{metric.title} |")
        assert metric.formula in row
        assert f"[{paper}](https://doi.org/{doi})" in row


def test_infinite_ends_are_those_without_a_bound():
    unbounded = {name for name, m in METRICS.items() if math.isinf(m.range[1])}
    assert unbounded == {"VIF", "PSNR", "CE"}
