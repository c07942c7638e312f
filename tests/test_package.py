"""The names of the package itself, and what type checkers and editors see of them."""

import dataclasses
import inspect
import subprocess
import sys
import typing
from typing import ClassVar, Literal

import pytest

import densefuse_tf
from densefuse_tf import io
from densefuse_tf import metrics
from densefuse_tf import registration
from densefuse_tf.cameras.settings import LiveSettings
from densefuse_tf.evaluation.table2.settings import Table2Settings
from densefuse_tf.fusion import settings
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.pipelines.registering import RegisterSettings
from densefuse_tf.pipelines.settings import FileOptions
from densefuse_tf.pipelines.settings import RegistrationSettings
from densefuse_tf.serving.settings import ExportSettings
from densefuse_tf.training.settings import TrainingSettings

RIGHT = """
import dataclasses
import pathlib

import numpy as np
from PIL import Image

import densefuse_tf
from densefuse_tf import Fuser, FusionSettings, io, metrics, registration

infrared = np.zeros((64, 64), np.uint8)
pair = [infrared, infrared]
fused = densefuse_tf.fuse([infrared, np.zeros((64, 64, 3), np.float32)])
fused = densefuse_tf.fuse(pair, "1e2", strategy="l1_norm", output_range="average")
fused = densefuse_tf.fuse([pathlib.Path("ir.png"), "vis.png"], register=True)
fused = densefuse_tf.fuse([Image.new("L", (8, 8)), infrared], preset="camera")
fused = densefuse_tf.fuse(pair, method="gtf", method_options={"lambda": 2.5})
values = metrics.evaluate(infrared, infrared, fused, convention="toolkit")
total: float = values["En"] + metrics.vif(infrared, infrared, fused)
total += metrics.entropy(infrared, convention="vifb")
fuser = Fuser(preset="camera", checkpoint="1e2", num_sources=2)
image = Fuser(FusionSettings("1e2", color="luma")).fuse(pair).image
names: tuple[str, ...] = densefuse_tf.list_methods() + metrics.list_metrics()
found = registration.register(image, infrared, model="affine")
image, moved = registration.Alignment(found, uncovered="black").align(image, infrared)
moved = io.images.read("ir.png")
total += metrics.METRICS["En"](image, image, moved, convention="authors")


@densefuse_tf.method("darker")
@dataclasses.dataclass(frozen=True)
class Darker:
    offset: int = 0

    def fuse(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        return ir


@densefuse_tf.strategy("first", scales_with_sources=False, reach=0)
def first(feature_maps: list[np.ndarray]) -> np.ndarray:
    return feature_maps[0]


Darker(offset=3).fuse(infrared, infrared)
shown: str = densefuse_tf.__version__ + (found.reason or "")
"""
# Each with a word of what a type checker says.
WRONG = {
    "densefuse_tf.fuze(pair)": 'no attribute "fuze"',
    "densefuse_tf.fuse(pair, stratgy='l1_norm')": 'did you mean "strategy"',
    "densefuse_tf.fuse(5)": 'incompatible type "int"',
    "image = Fuser().fuse(pair).imag": 'no attribute "imag"',
    "densefuse_tf.fuse(pair, output_range='averge')": "Literal['averge']",
    "Fuser(stratgy='l1_norm')": 'did you mean "strategy"',
    "Fuser(preset='photo')": "Literal['photo']",
    "registration.regster(image, infrared)": 'no attribute "regster"',
    "metrics.evaluate(infrared, fused)": '"fused" in call to "evaluate"',
    "metrics.vif(infrared, fused)": '"fused" in call to "vif"',
    "metrics.entropy()": 'argument "fused"',
    "metrics.entropy(infrared, convention='tolkit')": "Literal['tolkit']",
    "metrics.fmi(infrared, infrared, fused, feature='dctt')": "Literal['dctt']",
    "metrics.evaluate(infrared, infrared, fused, metric='all')": '"metrics"',
    "registration.register(image, infrared, model='afine')": "Literal['afine']",
    "registration.register('vis.png', infrared)": 'incompatible type "str"',
    "registration.Alignment(found, uncovered='blak')": "Literal['blak']",
    "fuser.with_output(color='grey', output_range='minmax')": "Literal['grey']",
    "io.imags.read('ir.png')": 'no attribute "imags"',
    "io.images.write('fused.png', 5)": "incompatible type",
    "densefuse_tf.strategy('sum', scales=True)": '"scales"',
    "densefuse_tf.method('none')(int)": '"type[int]"',
    "densefuse_tf.live(5, [])": 'incompatible type "int"',
    "densefuse_tf.load_autoencoder(100)": 'incompatible type "int"',
}


@pytest.mark.parametrize("module", (densefuse_tf, io, metrics, registration))
def test_every_listed_name_exists(module):
    assert {"fuse", "io", "baselines", "registration"} <= set(dir(densefuse_tf))
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="attribute fused"):
        _ = densefuse_tf.fused


def test_metrics_and_settings_need_no_tensorflow():
    code = (
        "import sys, densefuse_tf; densefuse_tf.metrics.evaluate; "
        "densefuse_tf.FusionSettings('1e2'); densefuse_tf.list_checkpoints(); "
        "from densefuse_tf.training import settings; "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_type_checker_finds_mistakes_and_nothing_else(tmp_path, request):
    api = pytest.importorskip("mypy.api")
    script = tmp_path / "script.py"
    script.write_text("\n".join([RIGHT.strip(), *WRONG]))
    first = RIGHT.strip().count("\n") + 2
    cache = request.config.cache.mkdir("mypy")
    said, _, _ = api.run(
        ["--strict", "--config-file=", f"--cache-dir={cache}", str(script)]
    )
    errors = [line for line in said.splitlines() if "script.py" in line]
    errors = [line for line in errors if " error: " in line]
    for line, (mistake, expected) in enumerate(WRONG.items(), first):
        found = [error for error in errors if f"script.py:{line}:" in error]
        assert found and expected in found[0], (mistake, said)
    assert len(errors) == len(WRONG), said


def test_keywords_are_the_fields_of_the_settings():
    """What is written twice, for type checkers, stays the same."""
    fields = typing.get_type_hints(settings.FusionSettings)
    fields = {k: v for k, v in fields.items() if typing.get_origin(v) is not ClassVar}
    assert typing.get_type_hints(settings.FuserOptions) == fields
    parameters = inspect.signature(Fuser).parameters
    assert list(parameters) == ["settings", "preset", *fields]
    for name, default in vars(settings.FusionSettings()).items():
        assert parameters[name].default == default
    parameters = inspect.signature(densefuse_tf.fuse).parameters
    assert fields.keys() - parameters.keys() == {"num_sources"}


@pytest.mark.parametrize(
    "cls",
    (
        *(settings.FusionSettings, ExportSettings, Table2Settings, TrainingSettings),
        *(FileOptions, RegistrationSettings, RegisterSettings, LiveSettings),
    ),
)
def test_type_checkers_know_what_may_be_chosen(cls):
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        kinds = [hint, *typing.get_args(hint)]
        literal = [kind for kind in kinds if typing.get_origin(kind) is Literal]
        chosen = {word for kind in literal for word in typing.get_args(kind)}
        choices = field.metadata.get("choices")
        assert choices is None or chosen == set(choices), field.name


@pytest.mark.parametrize("what", (densefuse_tf.fuse, Fuser.__init__))
def test_help_explains_each_keyword(what):
    lines = inspect.getdoc(what).splitlines()
    for name in inspect.signature(what).parameters.keys() - {"self"}:
        assert any(line.startswith(f"  {name}: ") for line in lines), name
    assert not any("**" in line for line in lines)
