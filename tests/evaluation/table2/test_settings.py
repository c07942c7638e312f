"""What is computed where nothing else is asked for: the paper's protocol."""

from densefuse_tf.evaluation.table2 import rows
from densefuse_tf.evaluation.table2.settings import Table2Settings


def test_the_defaults_are_those_of_the_paper():
    default = Table2Settings()
    assert (default.window_radius, default.averages) == (1, "uniform")
    assert default.methods == ("ours",)
    assert default.lambdas is None and default.strategies is None


def test_rows_of_this_project_have_the_papers_radius_and_grey_images():
    entries = rows.ours({"1e0": "1e0", "1e3": "1e3"})
    keys = [(s, n) for s in ("addition", "l1_norm") for n in ("1e0", "1e3")]
    assert [entry.key for entry in entries] == keys
    for entry in entries:
        (settings,) = set(entry.settings().values())
        assert (settings.strategy, settings.checkpoint) == entry.key
        assert (settings.window_radius, settings.color) == (1, "gray")


def test_rows_of_other_methods_fuse_grey_images():
    (settings,) = set(rows.registered("cbf", {}).settings().values())
    assert (settings.method, settings.color) == ("cbf", "gray")
    gtf = rows.registered("gtf", {}, averages="paper").settings()
    assert [gtf[n].configured.lambda_ for n in (1, 6, 18, 19)] == [4, 2.5, 2, 2]
