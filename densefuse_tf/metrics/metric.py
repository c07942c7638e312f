"""@metric: what a metric is, what it accepts, and the register of all metrics."""

import dataclasses
import functools
import importlib
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np

from densefuse_tf import naming
from densefuse_tf.errors import UserError

# "intended" is what the papers define, "toolkit" what the MATLAB toolkit behind most
# published tables computes under the same name, "authors" what the MATLAB code of
# DenseFuse's authors computes, and "vifb" what the VIFB benchmark publishes, colour
# images channel by channel. docs/metrics.md lists where they differ and why.
Convention = Literal["intended", "toolkit", "authors", "vifb"]
CONVENTIONS: tuple[Convention, ...] = typing.get_args(Convention)
_CONVENTION = inspect.Parameter(
    "convention", inspect.Parameter.KEYWORD_ONLY, default=CONVENTIONS[0]
)
_TAKES = {
    1: "this metric is defined for the fused image alone",
    3: "the metrics are defined for two source images, ir and vis, and one fused image",
}
_RAISES = """Raises:
  UserError: An image is not [H, W] uint8 or smaller than {0}x{0}, two images differ in
    size, there are more than two sources, or the convention is unknown.

"""
# By name the function of each metric, whose file is _FUNCTION.py, in the order of
# `--metrics=all`.
FUNCTIONS = {
    "En": "entropy",
    "Qabf": "qabf",
    "SCD": "scd",
    "FMI_w": "fmi",
    "FMI_dct": "fmi",
    "SSIM_a": "ssim_a",
    "MS_SSIM": "ms_ssim",
    "MI": "mi",
    "SD": "sd",
    "SF": "sf",
    "AG": "ag",
    "CC": "cc",
    "VIF": "vif",
    "MSE": "mse",
    "PSNR": "psnr",
    "Nabf": "nabf",
    "FMI_pixel": "fmi",
    "CE": "cross_entropy",
    "RMSE": "rmse",
    "SSIM": "ssim",
    "EI": "ei",
    "Q_CB": "q_cb",
    "Q_CV": "q_cv",
}
_Function = TypeVar("_Function", bound=Callable[..., Any])
_REFERENCE = re.compile(r'References: (.+?), "[^"]+", (.+?, doi:\S+?)[.,;]*(?: |$)')


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric and what a table or a document says of it.

    Attributes:
      name: Its name in tables.
      title: What the name stands for.
      function: The function that computes it.
      formula: The definition in one line; the function's docstring has it in full.
      range: The least and the greatest value of the intended definition.
      higher_is_better: The direction.
      options: Keyword arguments of the function that make it this metric.
      cost: How long it takes, roughly, against the quick ones.
    """

    name: str
    title: str
    function: Callable[..., float]
    formula: str
    range: tuple[float, float]
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

    @property
    def reference(self) -> str:
        """The paper that defines it, its DOI at the end.

        It is the first one under References in the function's docstring, without
        initials and title; empty where Python has dropped the docstrings.
        """
        text = " ".join((inspect.getdoc(self.function) or "").split())
        found = _REFERENCE.search(text)
        if not found:
            return ""
        authors = re.sub(r"\b[A-Z]\. ", "", found[1])
        return f"{' and'.join(authors.rsplit(',', 1))}, {found[2]}"

    def __call__(
        self,
        ir: np.ndarray,
        vis: np.ndarray,
        fused: np.ndarray,
        *,
        convention: Convention = "intended",
    ) -> float:
        """Computes the metric for one pair, as its function does.

        Args:
          ir, vis, fused: The images, [H, W] uint8 each, of one size.
          convention: One of CONVENTIONS; where the metric has no values of its own
            under it, the intended ones.
        """
        given = {"ir": ir, "vis": vis, "fused": fused}
        images = {name: given[name] for name in vars(self.function)["images"]}
        return self.function(**images, **self.options, convention=convention)


class _Register(Mapping[str, Metric]):
    """Finds metrics by name; the file of one is imported when it is asked for."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric | None] = dict.fromkeys(FUNCTIONS)

    def __getitem__(self, name: str) -> Metric:
        if self._metrics[name] is None:
            load(FUNCTIONS[name])
        found = self._metrics[name]
        assert found is not None
        return found

    def __setitem__(self, name: str, metric: Metric) -> None:
        self._metrics[name] = metric

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def __len__(self) -> int:
        return len(self._metrics)


METRICS = _Register()


def load(name: str) -> Callable[..., float]:
    """Returns the function of a metric, importing its file."""
    return getattr(importlib.import_module(f"densefuse_tf.metrics._{name}"), name)


def list_metrics() -> tuple[str, ...]:
    """Returns the names of all metrics, in the order of `--metrics=all`."""
    return tuple(METRICS)


def metric(
    name: str,
    title: str,
    *,
    smallest: int = 1,
    conventions: Sequence[str] = (),
    side_by_side: bool = False,
    **facts: Any,
) -> Callable[[_Function], _Function]:
    """Makes a function of (ir, vis, fused), or of (fused), a metric of METRICS.

    The function is then called with checked images; see `checked`. Decorated again, it
    is a second metric, by other options.

    Args:
      name: Its name in tables.
      title: What the name stands for.
      smallest: The least height and width, in pixels, that it is defined for.
      conventions: The conventions under which it differs from the intended definition.
      side_by_side: Whether "vifb" puts the channels of colour images side by side, as
        one wide image; it averages the values of the channels otherwise.
      **facts: The other fields of Metric: formula, range and so on.

    Returns:
      A decorator.
    """

    def decorate(function: _Function) -> _Function:
        if not hasattr(function, "images"):
            own = _by_channel(function, side_by_side)
            function = checked(smallest=smallest, conventions=conventions)(own)
        METRICS[name] = Metric(name, title, function, **facts)
        return function

    return decorate


def checked(
    *, smallest: int = 1, conventions: Sequence[str] = ()
) -> Callable[[_Function], _Function]:
    """Decorates a function of (ir, vis, fused), or of (fused): checks the images first.

    The function then gets NumPy arrays [H, W] uint8 of one size; under "vifb", they may
    be [H, W, 3]. A call with more than two sources is refused, since no metric here is
    defined for it.

    Every metric can be called with `convention`, one of CONVENTIONS. It is passed on
    to a function that takes it; any other has one definition, which holds under all.

    Args:
      smallest, conventions: As `metric` takes them.

    Returns:
      A decorator. What it returns raises UserError for images that do not fit and for
      an unknown convention, says so in its docstring, and has the attributes `images`,
      `smallest` and `conventions`.
    """

    def decorate(function: _Function) -> _Function:
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())
        names = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        takes_convention = "convention" in signature.parameters
        if conventions and not takes_convention:
            raise ValueError(
                f"{function.__name__} has conventions of its own: expected a parameter "
                "named convention"
            )
        if not takes_convention:
            signature = signature.replace(parameters=[*parameters, _CONVENTION])

        @functools.wraps(function)
        def check(*images: Any, **named: Any):
            if len(images) > len(names):
                raise UserError(
                    f"{function.__name__} got {len(images)} images: "
                    f"{_TAKES[len(names)]}"
                )
            for name, image in zip(names, images, strict=False):
                _refuse_no_array(name, image)
            # What is missing or given twice raises Python's own TypeError here.
            given = signature.bind(*images, **named).arguments
            convention = given.get("convention", CONVENTIONS[0])
            convention = given["convention"] = naming.pick(
                convention, CONVENTIONS, f"convention is {convention!r}"
            )
            if not takes_convention:
                del given["convention"]
            given |= check_images(
                {name: given[name] for name in names},
                smallest,
                colour=convention == "vifb",
            )
            return function(**given)

        check.__doc__ = inspect.cleandoc(function.__doc__ or "").replace(
            "References:", _RAISES.format(smallest) + "References:", 1
        )
        vars(check).update(
            images=names,
            smallest=smallest,
            conventions=(CONVENTIONS[0], *conventions),
            __signature__=signature,
        )
        return typing.cast(_Function, check)

    return decorate


def _by_channel(function: _Function, side_by_side: bool) -> _Function:
    """Makes a metric of grey images one of colour images too, with VIFB's mean."""

    @functools.wraps(function)
    def of_channels(**given: Any) -> float:
        images = {k: v for k, v in given.items() if isinstance(v, np.ndarray)}
        if all(image.ndim == 2 for image in images.values()):
            return function(**given)
        channels = [
            # A grey image goes with each channel of the others.
            {name: i if i.ndim == 2 else i[..., k] for name, i in images.items()}
            for k in range(3)
        ]
        if side_by_side:
            joined = {name: np.hstack([c[name] for c in channels]) for name in images}
            return function(**given | joined)
        return float(np.mean([function(**given | channel) for channel in channels]))

    return typing.cast(_Function, of_channels)


def check_images(
    images: Mapping[str, Any], smallest: int = 1, *, colour: bool = False
) -> dict[str, np.ndarray]:
    """Returns the images as NumPy arrays, if they are 8-bit, grey and of one size.

    Args:
      images: Arrays [H, W] uint8 by what to call them in an error.
      smallest: The least height and width in pixels.
      colour: Whether they may be [H, W, 3] as well.

    Returns:
      The arrays, not copied where that can be avoided.

    Raises:
      UserError: An image has another dtype or shape or is too small, or two differ in
        size.
    """
    arrays = {
        name: _array(name, image, smallest, colour) for name, image in images.items()
    }
    if len({array.shape[:2] for array in arrays.values()}) > 1:
        sizes = ", ".join(
            f"{name} is {array.shape[0]}x{array.shape[1]}"
            for name, array in arrays.items()
        )
        raise UserError(
            f"{sizes}: the source images and the fused image must have the same size "
            "(height x width)"
        )
    return arrays


def _array(name: str, image: Any, smallest: int, colour: bool) -> np.ndarray:
    _refuse_no_array(name, image)
    array = np.asarray(image)
    if colour and array.ndim != 2 and (array.ndim != 3 or array.shape[2] != 3):
        raise UserError(
            f"{name} has shape {list(array.shape)}: expected one image [H, W] or "
            "[H, W, 3]"
        )
    if not colour and array.ndim != 2:
        raise UserError(
            f"{name} has shape {list(array.shape)}: expected one grey image [H, W]; "
            "the metrics are defined for two source images, and colour has to be "
            "turned to grey first: densefuse_tf.io.pixels.gray does"
        )
    if array.dtype != np.uint8:
        raise UserError(
            f"{name} is {array.dtype}: expected uint8, an 8-bit image of values 0 to "
            "255, rounded as it would be saved"
        )
    height, width = array.shape[:2]
    if min(height, width) < smallest:
        raise UserError(
            f"{name} is {height}x{width}: expected at least {smallest}x{smallest} "
            "pixels (height x width)"
        )
    return array


def _refuse_no_array(name: str, image: Any) -> None:
    # A list may hold a third source, or be an image: it is not for us to say which.
    if not hasattr(image, "__array__"):
        length = f" of {len(image)}" if isinstance(image, list | tuple) else ""
        raise UserError(
            f"{name} is a {type(image).__name__}{length}: expected one array "
            "[H, W] uint8; the metrics are defined for two source images, ir and vis"
        )
