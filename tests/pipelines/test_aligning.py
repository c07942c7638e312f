"""Aligning pairs before they are fused: settings, one transform for all, outputs."""

import dataclasses
import pickle

import numpy as np
import pytest
from skimage import transform

from densefuse_tf import registration
from densefuse_tf.errors import UserError
from densefuse_tf.pipelines import aligning
from densefuse_tf.pipelines.settings import RegistrationSettings

SHAPE = (30, 40)
NAMES = ("ir.png", "vis.png")


def picture(seed, shape=SHAPE):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def shifted(x, y, reason=None, shape=SHAPE):
    """A registration that moves by (x, y)."""
    return registration.Registration(
        transform.EuclideanTransform(translation=(x, y)),
        "translation",
        shape,
        shape,
        score=0.5,
        consistency=0.1,
        reason=reason,
    )


def aligner(found=None, **settings):
    settings = RegistrationSettings(register="once", **settings)
    return aligning.Aligner(settings, found or shifted(6, 4), "ir.png and vis.png")


@pytest.fixture
def registered(monkeypatch):
    """Replaces the search by given registrations; returns what it was called with."""
    calls = []

    def replace(*results):
        results = iter(results)

        def register(fixed, moving, *, model, names, guess):
            calls.append((fixed, moving, model, names, guess))
            result = next(results)
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(registration, "register", register)
        return calls

    return replace


def scenes(count):
    for index in range(count):
        sources = picture(index), picture(index + 50)
        yield aligning.Scene(sources, (f"ir{index}", f"vis{index}"))


def test_register_to_says_which_image_is_cropped_and_which_is_moved():
    infrared, visible = picture(0), picture(1)
    (moved, kept), found = aligner().align((infrared, visible), NAMES)
    np.testing.assert_array_equal(moved, infrared[4:, 6:])
    np.testing.assert_array_equal(kept, visible[:-4, :-6])
    assert found.matrix[0, 2] == 6
    to_infrared = aligner(register_to="infrared")
    (kept, moved), _ = to_infrared.align((infrared, visible), NAMES)
    np.testing.assert_array_equal(kept, infrared[:-4, :-6])
    np.testing.assert_array_equal(moved, visible[4:, 6:])


@pytest.mark.parametrize("to", ("visible", "infrared"))
@pytest.mark.parametrize("kind", ("black", "the image that stays"))
def test_uncovered_pixels_keep_the_full_size(to, kind):
    settings = {"register_to": to, "uncovered": "black" if kind == "black" else to}
    one = aligner(**settings)
    pair = [picture(0), picture(1)]
    aligned, _ = one.align(pair, NAMES)
    fixed, moved = one.settings.fixed_first(aligned)
    assert one.shape == SHAPE
    np.testing.assert_array_equal(fixed, one.settings.fixed_first(pair)[0])
    outside = moved[-4:, :], fixed[-4:, :]
    if kind == "black":
        assert not outside[0].any()
    else:
        assert np.abs(outside[0].astype(int) - outside[1]).max() <= 2


def test_once_takes_the_median_of_the_first_pairs(registered):
    found = [shifted(x, 4) for x in (6, 7, 6, 6.5, 9)]
    calls = registered(*found)
    one = aligning.prepare(RegistrationSettings(register="once"), scenes(9))
    np.testing.assert_allclose(one.registration.matrix[:2, 2], (6.5, 4))
    assert len(calls) == aligning.FIRST
    fixed, moving, model, names, _ = calls[0]
    np.testing.assert_array_equal(fixed, picture(50))
    np.testing.assert_array_equal(moving, picture(0))
    assert (model, names) == ("affine", ("vis0", "ir0"))


def test_once_has_one_model_where_some_photos_lack_the_figures(registered):
    calls = registered(*[shifted(6, 4)] * 2)
    first, *others = scenes(2)
    some = [first._replace(guess=shifted(5, 3)), *others]
    aligning.prepare(RegistrationSettings(register="once"), some)
    assert [model for *_, model, _, _ in calls] == ["translation"] * 2


@pytest.mark.parametrize("register_to", ["visible", "infrared"])
def test_a_guess_of_a_camera_is_searched_around(registered, register_to):
    """It goes from the visible to the infrared image; its model is the search's."""
    calls = registered(shifted(6, 4))
    one = aligning.Aligner(
        RegistrationSettings(register="each", register_to=register_to)
    )
    one.align((picture(0), picture(1)), NAMES, shifted(5, 3))
    *_, model, _, guess = calls[0]
    expected = np.array([5, 3]) * (1 if register_to == "visible" else -1)
    np.testing.assert_allclose(guess[:2, 2], expected)
    assert model == "translation"


def test_a_guess_from_a_file_is_searched_around(registered, tmp_path):
    path = tmp_path / "guess.json"
    registration.save(path, shifted(5, 3))
    calls = registered(shifted(6, 4))
    settings = RegistrationSettings(
        register="each", register_model="affine", guess=path
    )
    one = aligning.Aligner(settings)
    one.align((picture(0), picture(1)), NAMES, shifted(50, 30))
    *_, model, _, guess = calls[0]
    np.testing.assert_allclose(guess[:2, 2], (5, 3))
    assert model == "affine"
    with pytest.raises(UserError, match="vis.png and ir.png are 30x40 and 20x40"):
        one.align((picture(0, (20, 40)), picture(1)), NAMES)


def test_a_guess_that_cannot_be_used_is_refused_before_the_first_pair(tmp_path):
    with pytest.raises(UserError, match="guess goes with register"):
        RegistrationSettings(guess="a.json")
    with pytest.raises(UserError, match="guess does not go with points"):
        RegistrationSettings(guess="a.json", points="b.csv")
    with pytest.raises(UserError, match="no such file"):
        aligning.Aligner(RegistrationSettings(register="each", guess=tmp_path / "no"))


def test_once_passes_over_pairs_that_have_no_edges(registered):
    """A video may start in the dark."""
    dark = UserError("vis0: all its pixels have the value 0")
    registered(*[dark] * 7, shifted(6, 4))
    one = aligning.prepare(RegistrationSettings(register="once"), scenes(8))
    np.testing.assert_array_equal(one.registration.matrix[:2, 2], (6, 4))
    registered(dark, dark)
    with pytest.raises(UserError, match="vis0: all its pixels"):
        aligning.prepare(RegistrationSettings(register="once"), scenes(2))


@pytest.mark.parametrize(
    ("found", "message"),
    (
        ([(6, 4, "no place")] * 2, "ir0 and vis0 and 1 more: none of 2 registrations"),
        ([(6, 4), (18, 4)], "1 more: not registered: only 0 of 2 pairs agree"),
        ([(6, 4, "no place")], "ir0 and vis0: not registered: no place; --points"),
        ([(45, 4)], "ir0 and vis0: the registered images do not overlap"),
    ),
)
def test_once_refuses_pairs_without_a_common_transform(registered, found, message):
    registered(*(shifted(*each) for each in found))
    with pytest.raises(UserError) as error:
        aligning.prepare(RegistrationSettings(register="once"), scenes(len(found)))
    assert message in str(error.value)


def test_each_registers_every_pair_by_itself(registered):
    calls = registered(shifted(6, 4), shifted(2, 3), shifted(1, 1, "no place"))
    one = aligning.prepare(RegistrationSettings(register="each"), scenes(0))
    assert not calls and one.shape is None
    shapes = []
    for sources, names, _ in scenes(2):
        aligned, _ = one.align(sources, names)
        shapes.append([image.shape for image in aligned])
    assert shapes == [[(26, 34)] * 2, [(27, 38)] * 2]
    with pytest.raises(UserError, match="ir.png and vis.png: not registered: no place"):
        one.align((picture(0), picture(1)), NAMES)


def test_the_transform_of_one_size_is_not_applied_to_another():
    one = aligner()
    with pytest.raises(UserError, match=r"ir\.png is 20x40: expected 30x40, the size"):
        one.align((picture(0, (20, 40)), picture(1)), NAMES)


def test_an_aligner_is_small_to_send_and_stays_the_same():
    one = aligner(shifted(6, 4, shape=(900, 900)), uncovered="visible")
    data = pickle.dumps(one)
    assert len(data) < 2000
    pair = picture(0, (900, 900)), picture(1, (900, 900))
    found, expected = pickle.loads(data).align(pair, NAMES), one.align(pair, NAMES)
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    (
        ({"register": "always"}, "register is 'always': expected one of each, once"),
        ({"register": "once", "register_to": "both"}, "register_to is 'both'"),
        ({"register": "once", "register_model": "free"}, "expected one of translation"),
        ({"register_to": "infrared"}, "register_to goes with register, transform or"),
        ({"uncovered": "black"}, "uncovered goes with register, transform or points"),
        ({"save_transform": "t.json"}, "save_transform goes with register"),
        ({"register": "once", "points": "p.csv"}, "register does not go with points"),
        ({"transform": "t.json", "points": "p.csv"}, "does not go with transform"),
        ({"transform": "t.json", "save_transform": "u.json"}, "does not go with trans"),
        ({"transform": "t.json", "register_model": "affine"}, "does not go with trans"),
        ({"register": "once", "uncovered": "infrared"}, "expected visible, black or"),
        ({"register": "each", "save_transform": "t.png"}, "a name that ends in .json"),
    ),
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(UserError) as error:
        RegistrationSettings(**settings)
    assert message in str(error.value)


def test_the_models_are_those_of_the_registration():
    fields = {field.name: field for field in dataclasses.fields(RegistrationSettings)}
    choices = fields["register_model"].metadata["choices"]
    assert choices == registration.MODELS
