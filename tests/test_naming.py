"""Names in any case, with - or _, and the nearest one of those there are."""

import dataclasses

import pytest

import densefuse_tf
from densefuse_tf import lambdas
from densefuse_tf import metrics
from densefuse_tf import naming
from densefuse_tf.baselines import gtf
from densefuse_tf.cameras.settings import LiveSettings
from densefuse_tf.errors import UserError
from densefuse_tf.evaluation.table2 import reproduce
from densefuse_tf.evaluation.table2 import rows
from densefuse_tf.evaluation.table2 import settings as table2_settings
from densefuse_tf.fusion import methods
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import pixels
from densefuse_tf.model import checkpoints
from densefuse_tf.model import strategies
from densefuse_tf.registration import transforms
from densefuse_tf.training import settings


@pytest.mark.parametrize("name", ("l1_norm", "l1-norm", "L1_Norm", " L1-NORM "))
def test_a_name_is_found_in_any_case_and_with_either_dash(name):
    assert naming.find(name, ["addition", "l1_norm"]) == "l1_norm"
    assert strategies.get(name).name == "l1_norm"


def test_a_name_that_is_written_exactly_so_is_preferred():
    assert naming.find("Mine", ["mine", "Mine"]) == "Mine"
    assert naming.find("MINE", ["mine", "Mine"]) is None


def test_methods_metrics_and_settings_are_found_so():
    assert methods.find("GTF") == "gtf"
    assert methods.MethodSettings("DCHWT").configured == methods.baselines.create(
        "dchwt"
    )
    assert metrics.select("ms-ssim,en") == ("MS_SSIM", "En")
    chosen = FusionSettings(output_range="Average", color="LUMA")
    assert (chosen.output_range, chosen.color) == ("average", "luma")


@pytest.mark.parametrize("name", ("1e2", "1E2", "100", "100.0", "1e+2"))
def test_a_lambda_names_its_checkpoint(name):
    assert checkpoints.locate(name) == checkpoints.locate("1e2")


@pytest.mark.parametrize("name", ("5", "nan", "1e9", "inf"))
def test_another_number_names_none(name):
    with pytest.raises(UserError, match="no such checkpoint"):
        checkpoints.locate(name)


@pytest.mark.parametrize(
    ("call", "nearest"),
    (
        (lambda: strategies.get("adition"), "addition"),
        (lambda: strategies.get("L1NORM"), "l1_norm"),
        (lambda: methods.get("gft"), "gtf"),
        (lambda: metrics.select("SSIMa"), "SSIM_a"),
        (lambda: FusionSettings(output_range="averge"), "average"),
        (lambda: densefuse_tf.fuse([], preset="camra"), "camera"),
        (lambda: densefuse_tf.fuse([], stratgy="l1_norm"), "strategy"),
        (lambda: densefuse_tf.Fuser(stratgy="l1_norm"), "strategy"),
        (lambda: methods.settings("gtf", {"lamda": 2}), "lambda"),
        (lambda: checkpoints.locate("l1e2"), "1e2"),
        (lambda: FusionSettings(stratgy="l1_norm"), "strategy"),
        (lambda: dataclasses.replace(FusionSettings(), colour="luma"), "color"),
        (lambda: settings.TrainingSettings(train_dri="photos"), "train_dir"),
        (lambda: settings.find_recipe("relese"), "release"),
        (lambda: settings.find_recipe(network="deepfus"), "deepfuse"),
        (lambda: transforms.pick_model("afine"), "affine"),
        (lambda: pixels.parse_range("atuo"), "auto"),
    ),
)
def test_an_error_names_the_nearest(call, nearest):
    with pytest.raises(UserError, match=f"; did you mean {nearest}\\?$"):
        call()


def test_choices_are_taken_in_any_case_where_they_are_looked_up():
    assert settings.TrainingSettings("photos", network="DeepFuse").recipe == "release"
    training = settings.TrainingSettings("photos", resize="Bilinear")
    training.check()
    assert training.resize == "bilinear"
    assert methods.settings("gtf", {"Lambda": 2}).configured.lambda_ == 2
    assert gtf.GTF(channels="JOINT").takes_color
    assert transforms.pick_model("Affine") == "affine"
    assert pixels.parse_range(" Auto ") == "auto"
    assert LiveSettings(live_rate="VIS").live_rate == "vis"


def test_an_option_is_given_once():
    with pytest.raises(UserError, match="option lambda of method gtf is given twice"):
        methods.settings("gtf", {"lambda": 2, "Lambda": 3})


@pytest.mark.parametrize("given", (("100",), ("1E2", "1e+3"), ("1e3", "100")))
def test_lambdas_of_table2_are_named_as_checkpoints_are(given):
    found = reproduce._lambdas(table2_settings.Table2Settings(lambdas=given))
    assert found == [n for n in lambdas.SHORT_NAMES if float(n) in map(float, given)]


@pytest.mark.parametrize(("given", "end"), (("le2", "mean 1e2\\?"), ("1e5", "1e3")))
def test_a_wrong_lambda_is_told_with_the_nearest_name(given, end):
    with pytest.raises(UserError, match=f"--lambdas=1e0,{given}: .*{end}$"):
        reproduce._lambdas(table2_settings.Table2Settings(lambdas=("1e0", given)))
    with pytest.raises(UserError, match="no such checkpoint"):
        checkpoints.locate(given)


def test_nothing_is_meant_where_nothing_is_near():
    with pytest.raises(UserError, match="expected one of addition, [^?]*$"):
        strategies.get("soup")


def test_rows_of_table2_are_named_in_any_case():
    settings = table2_settings.Table2Settings(
        methods=("GTF", "Ours"),
        method_options={"Gtf": {"lambda": "2.5"}},
        averages="Paper",
    )
    assert settings.has_ours and settings.averages == "paper"
    assert reproduce._methods(settings) == {"gtf": {"lambda": "2.5"}}
    every = table2_settings.Table2Settings(methods=("ALL",))
    assert every.has_ours and "cbf" in reproduce._methods(every)
    rows_of_a_strategy = rows.ours({"1e2": "1e2"}, chosen=["L1-norm"])
    assert [row.title for row in rows_of_a_strategy] == ["l1_norm_1e2"]
    with pytest.raises(UserError, match="; did you mean gtf\\?$"):
        reproduce._methods(table2_settings.Table2Settings(methods=("gft",)))
    with pytest.raises(UserError, match="; did you mean paper\\?$"):
        table2_settings.Table2Settings(averages="papr")
