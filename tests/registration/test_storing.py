"""Registrations as files, and several put together."""

import dataclasses
import json

import numpy as np
import pytest

from densefuse_tf import registration
from densefuse_tf.errors import UserError
from tests.registration.test_alignment import of
from tests.registration.test_alignment import shifted_by

SHAPES = ((100, 200), (120, 240))


def stored(**changes):
    found = of([[1.1, 0.1, 4.25], [-0.1, 1.2, 12], [0, 0, 1]], *SHAPES)
    measures = {
        "score": 0.5,
        "consistency": 0.25,
        "distinctness": 9.0,
        "total_gradient": (0.8, 0.7),
    }
    return dataclasses.replace(found, **{**measures, **changes})


def test_load_reads_a_byte_order_mark(tmp_path):
    path = tmp_path / "rig.json"
    registration.save(path, stored())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    np.testing.assert_array_equal(registration.load(path).matrix, stored().matrix)


@pytest.mark.parametrize("reason", [None, "no place stands out"])
def test_load_gives_back_what_was_saved(tmp_path, reason):
    path = tmp_path / "rig.json"
    registration.save(path, stored(reason=reason))
    found = registration.load(path)
    np.testing.assert_array_equal(found.matrix, stored().matrix)
    for field in dataclasses.fields(found):
        if field.name != "transform":
            assert getattr(found, field.name) == getattr(
                stored(reason=reason), field.name
            )
    assert type(found.transform) is type(stored().transform)


def test_save_writes_json_without_nan(tmp_path):
    path = tmp_path / "rig.json"
    registration.save(path, stored(total_gradient=(0.5, float("nan"))))
    assert json.loads(path.read_text())["normalized_total_gradient"] == [0.5, None]
    assert np.isnan(registration.load(path).total_gradient[1])


def damaged(**changes):
    def change(content):
        content.update(changes)
        return json.dumps(content)

    return change


@pytest.mark.parametrize(
    "change, line",
    [
        (lambda content: "{", "is no JSON"),
        (lambda content: "[1]", "is JSON of another kind"),
        (lambda content: "[" * 100_000, "is no JSON"),
        (damaged(format="x"), "is JSON of another kind"),
        (damaged(version=2), "has version 2"),
        (damaged(model="rigid"), "has the model 'rigid'"),
        (damaged(matrix=[[1, 2], [3, 4]]), "lacks what belongs"),
        (damaged(matrix=[[0, 0, 0]] * 3), "lacks what belongs"),
        (damaged(matrix="x"), "lacks what belongs"),
        (damaged(fixed={"height": 0, "width": 5}), "lacks what belongs"),
        (damaged(moving=None), "lacks what belongs"),
        (damaged(score="high"), "lacks what belongs"),
        (damaged(normalized_total_gradient=[1]), "lacks what belongs"),
    ],
)
def test_load_refuses_a_file_that_is_no_transform(tmp_path, change, line):
    path = tmp_path / "rig.json"
    registration.save(path, stored())
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(UserError, match=line) as raised:
        registration.load(path)
    assert str(raised.value).startswith(str(path))


def test_load_refuses_a_missing_file_and_an_image(tmp_path):
    with pytest.raises(UserError, match="no such file: expected a transform"):
        registration.load(tmp_path / "none.json")
    path = tmp_path / "image.json"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(UserError, match="is no JSON"):
        registration.load(path)


def test_combine_takes_the_median_and_survives_a_wrong_one():
    shifts = [(4, 0), (5, 0), (5.5, 0), (60, 9)]
    found = [of(shifted_by(*shift), *SHAPES) for shift in shifts]
    rig = registration.combine([*found, of(shifted_by(5, 0), *SHAPES)])
    np.testing.assert_allclose(rig.matrix, shifted_by(5, 0), atol=1e-9)
    assert rig.accepted
    assert rig.consistency > 50


def test_combine_is_not_accepted_where_pairs_disagree():
    found = [of(shifted_by(shift, 0), *SHAPES) for shift in (0, 20, 40, 60)]
    assert "agree on one transform" in registration.combine(found).reason


def test_combine_leaves_out_what_is_not_accepted():
    refused = dataclasses.replace(of(shifted_by(90, 0), *SHAPES), reason="no")
    rig = registration.combine([of(shifted_by(5, 0), *SHAPES)] * 2 + [refused])
    np.testing.assert_allclose(rig.matrix, shifted_by(5, 0), atol=1e-9)
    # More than half of all that are given have to agree, the refused ones too.
    for count, accepts in ((1, False), (2, False), (3, True)):
        given = [of(shifted_by(5, 0), *SHAPES)] * count + [refused] * 2
        rig = registration.combine(given)
        assert rig.accepted == accepts
        assert accepts or f"only {count} of {count + 2} pairs agree" in rig.reason
    with pytest.raises(UserError, match="none of 1 registrations is accepted"):
        registration.combine([refused])


def test_combine_refuses_nothing_and_other_sizes():
    with pytest.raises(UserError, match="no registration to combine"):
        registration.combine([])
    sizes = r"sizes \(height x width\) of the moving image: \d+x\d+ and 10x10: expected"
    with pytest.raises(UserError, match=sizes):
        registration.combine(
            [of(np.eye(3), *SHAPES), of(np.eye(3), SHAPES[0], (10, 10))]
        )


@pytest.mark.parametrize(("apart", "accepts"), [(4.4, True), (4.6, False)])
def test_combine_accepts_what_lies_within_a_hundredth_of_the_diagonal(apart, accepts):
    # Two are as far from their median; the diagonal is 223.6 pixels.
    found = [of(shifted_by(x, 0), *SHAPES) for x in (5, 5 + apart)]
    assert registration.combine(found).accepted == accepts
