"""What @metric checks and says, for every metric."""

import inspect
import math
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from densefuse_tf import metrics
from densefuse_tf.errors import UserError
from densefuse_tf.metrics import METRICS
from densefuse_tf.metrics import metric as module

from .conftest import scene

LOWER_IS_BETTER = {"MSE", "RMSE", "Nabf", "CE", "Q_CV"}
# The grey pairs and fused images of the three channels of a colour one.
THREE = [scene(48, 61, seed=seed) for seed in range(3)]
FUNCTIONS = {metric.function.__name__: metric.function for metric in METRICS.values()}
FUNCTIONS["evaluate"] = metrics.evaluate
TWO_SOURCES = sorted(
    name
    for name, function in FUNCTIONS.items()
    if function.images == ("ir", "vis", "fused")
)


@pytest.fixture(params=sorted(FUNCTIONS))
def metric(request):
    return FUNCTIONS[request.param]


@pytest.fixture
def images(metric, pair):
    """What the metric takes: a pair and its fused image, or that one alone."""
    return pair[-len(metric.images) :]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((48, 61), np.float32), "is float32: expected uint8"),
        (np.zeros((48, 61, 3), np.uint8), r"has shape \[48, 61, 3\]: .*\[H, W\]"),
        (np.zeros((2, 48, 61), np.uint8), r"has shape \[2, 48, 61\]"),
        (np.zeros(48, np.uint8), r"has shape \[48\]"),
        (np.uint8(7), r"has shape \[\]"),
        (np.zeros((0, 5), np.uint8), "is 0x5: expected at least"),
        (None, "is a NoneType: expected one array"),
        ("fused.png", "is a str: expected one array"),
        ([[1], []], "is a list of 2: .* two source images"),
    ],
)
def test_what_is_no_grey_8_bit_image_is_refused(metric, images, wrong, message):
    for place, name in enumerate(metric.images):
        changed = [*images[:place], wrong, *images[place + 1 :]]
        with pytest.raises(UserError, match=f"^{name} {message}"):
            metric(*changed)


def test_too_many_images_are_refused(metric, images):
    with pytest.raises(
        UserError, match=f"got {len(images) + 1} images: .* defined for"
    ):
        metric(*images, images[-1])


@pytest.mark.parametrize("name", TWO_SOURCES)
def test_different_sizes_are_refused(name, pair):
    pair[2] = pair[2][:, :-1]
    with pytest.raises(
        UserError, match=r"ir is 48x61, vis is 48x61, fused is 48x60: .* same size"
    ):
        FUNCTIONS[name](*pair)


@pytest.mark.parametrize(
    ("names", "smallest"),
    [
        (("qabf", "scd", "ssim_a", "mi", "cc", "mse", "rmse", "sd"), 1),
        (("ei", "q_cb", "q_cv"), 1),
        (("nabf", "sf", "ag"), 2),
        (("fmi",), 3),
        (("ssim",), 11),
        (("vif",), 41),
        (("ms_ssim", "evaluate"), 44),
    ],
)
def test_the_smallest_size_is_the_documented_one(names, smallest):
    for name in names:
        metric = FUNCTIONS[name]
        images = [np.zeros((smallest, smallest), np.uint8)] * len(metric.images)
        values = metric(*images)
        assert np.isfinite(
            list(values.values()) if name == "evaluate" else values
        ).all()
        images = [image[:, 1:] for image in images]
        with pytest.raises(UserError, match=f"at least {smallest}x{smallest} pixels"):
            metric(*images)


def test_missing_and_doubled_arguments_are_pythons_own_errors(metric, images):
    with pytest.raises(TypeError, match="missing a required argument: 'fused'"):
        metric(*images[:-1])
    with pytest.raises(TypeError, match="multiple values for argument 'fused'"):
        metric(*images, fused=images[-1])
    with pytest.raises(TypeError, match="unexpected keyword argument 'window'"):
        metric(*images, window=7)


def test_images_are_left_alone_and_may_have_any_layout(metric, images):
    value = metric(*images)
    scattered = [np.asfortranarray(image)[::-1][::-1] for image in images]
    for image in scattered:
        image.flags.writeable = False
    assert metric(*scattered) == pytest.approx(value)
    assert all(map(np.array_equal, scattered, images))


def test_signature_and_documentation_show_through(metric):
    parameters = tuple(inspect.signature(metric).parameters)
    assert parameters[: len(metric.images)] == metric.images
    for part in ("[H, W] uint8", "Returns:", "Raises:", "UserError"):
        assert part in metric.__doc__


def test_every_metric_takes_every_convention_and_no_other(metric, images):
    assert inspect.signature(metric).parameters["convention"].default == "intended"
    for convention in metrics.CONVENTIONS:
        assert type(metric(*images, convention=convention)) in (float, dict)
    for convention in ("tools", None, 1):
        with pytest.raises(
            UserError, match=r"^convention is .*: expected one of intended, toolkit"
        ):
            metric(*images, convention=convention)


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_vifb_averages_the_channels_of_colour_images(metric):
    colour = [np.stack(planes, axis=-1) for planes in zip(*THREE, strict=True)]
    if metric.name == "SF":
        expected = metric(
            *(np.hstack(planes) for planes in zip(*THREE, strict=True)),
            convention="vifb",
        )
    else:
        expected = np.mean([metric(*planes, convention="vifb") for planes in THREE])
    assert metric(*colour, convention="vifb") == pytest.approx(expected, rel=1e-12)
    # A grey image goes with each channel of the others.
    ir = THREE[0][0]
    grey = metric(ir, *colour[1:], convention="vifb")
    repeated = metric(np.stack([ir] * 3, axis=-1), *colour[1:], convention="vifb")
    assert grey == pytest.approx(repeated, rel=1e-12)
    for convention in set(metrics.CONVENTIONS) - {"vifb"}:
        with pytest.raises(UserError, match="turned to grey first"):
            metric(*colour, convention=convention)


@pytest.mark.parametrize("shape", [(48, 61, 4), (48, 61, 1), (2, 48, 61, 3), (48,)])
def test_vifb_takes_no_other_shapes(metric, images, shape):
    images[-1] = np.zeros(shape, np.uint8)
    expected = r"^fused has shape \[.*\]: expected one image \[H, W\] or \[H, W, 3\]$"
    with pytest.raises(UserError, match=expected):
        metric(*images, convention="vifb")


def test_vifb_refuses_colour_of_another_size(pair):
    pair[1] = np.zeros((48, 60, 3), np.uint8)
    with pytest.raises(UserError, match="ir is 48x61, vis is 48x60, fused is 48x61: "):
        metrics.qabf(*pair, convention="vifb")


def test_a_decorated_function_is_a_metric(monkeypatch, pair):
    monkeypatch.setattr(module, "METRICS", dict(METRICS))

    def decorate(name, **facts):
        return module.metric(name, "levels", formula="n", range=(1, 256), **facts)

    @decorate("Levels", smallest=3, higher_is_better=False)
    def levels(fused, *, above=-1):
        """Counts the levels.

        Returns:
          Their number.

        References:
          A. B. First, C. van Second, D. Third, "On levels, counted", J. Levels 3(1),
          1999, doi:10.1000/j.levels.1999.1; E. Other, "No", Levels 1, 1998.
        """
        return float(sum(np.unique(fused) > above))

    assert decorate("Bright", options={"above": 99}, cost=2)(levels) is levels
    *rest, found, other = module.METRICS.values()
    assert rest == list(METRICS.values())
    assert (found.name, found.smallest, found.cost, found.arrow) == (
        "Levels",
        3,
        1,
        "↓",
    )
    assert (other.name, other.smallest, other.cost, other.arrow) == (
        "Bright",
        3,
        2,
        "↑",
    )
    assert found.conventions == ("intended",)
    assert found.reference == (
        "First, van Second and Third, J. Levels 3(1), 1999, doi:10.1000/j.levels.1999.1"
    )
    assert found(*pair) == levels(pair[2]) == len(set(pair[2].ravel()))
    assert other(*pair) == levels(pair[2], above=99) < found(*pair)
    assert "smaller than 3x3" in inspect.getdoc(levels)
    with pytest.raises(UserError, match="fused is 2x61: expected at least 3x3 pixels"):
        other(*(image[:2] for image in pair))


def test_a_reference_without_docstring_is_empty(monkeypatch):
    monkeypatch.setattr(metrics.sd, "__doc__", None)
    assert METRICS["SD"].reference == ""


def test_every_function_of_the_package_is_registered():
    functions = {metric.function for metric in METRICS.values()}
    public = [getattr(metrics, name) for name in metrics.__all__]
    # mef_ssim takes any number of sources; MS_SSIM is that of two.
    rest = (metrics.evaluate, metrics.select, metrics.Metric, metrics.mef_ssim)
    rest += (metrics.list_metrics, metrics.Convention)
    assert functions == {item for item in public if callable(item) and item not in rest}
    assert metrics.mutual_information is metrics.mi
    with pytest.raises(AttributeError, match="vif_p"):
        metrics.vif_p  # noqa: B018


def test_a_metric_is_imported_by_its_name_alone():
    code = (
        "import sys; from densefuse_tf.metrics import METRICS, select; select('all')\n"
        "METRICS['SD']; assert 'SD' in METRICS and 'SDx' not in METRICS\n"
        "print(*(name for name in sys.modules if '.metrics._' in name))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    expected = ["densefuse_tf.metrics._evaluate", "densefuse_tf.metrics._sd"]
    assert done.stdout.split() == expected, done.stderr


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
@pytest.mark.parametrize(
    "name", sorted(set(METRICS) - {"En", "SD", "SF", "AG", "EI", "CE"})
)
def test_a_better_image_scores_better(name):
    """The fused image against its negative, turned upside down."""
    metric = METRICS[name]
    ir, vis, fused = scene(60, 61)
    better, worse = metric(ir, vis, fused), metric(ir, vis, 255 - fused[::-1, ::-1])
    assert (better > worse) == metric.higher_is_better


def shown(value):
    return "∞" if math.isinf(value) else f"{value:.4g}"


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
        assert f"| {' to '.join(map(shown, metric.range))} |" in row
        assert f"| {', '.join(metric.conventions[1:]) or 'none'} |" in row
        assert f"[{paper}](https://doi.org/{doi})" in row


def test_infinite_ends_are_those_without_a_bound():
    unbounded = {name for name, m in METRICS.items() if math.isinf(m.range[1])}
    assert unbounded == {"VIF", "PSNR", "CE", "Q_CV"}


def test_a_convention_is_taken_in_any_case():
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert metrics.sd(image, convention="Toolkit") == metrics.sd(
        image, convention="toolkit"
    )


def test_conventions_of_its_own_need_the_parameter():
    with pytest.raises(
        ValueError, match="brightest .*: expected a parameter named con"
    ):

        @module.checked(conventions=["toolkit"])
        def brightest(fused):
            return fused.max()
