"""What holds for all methods alike, and for CBF, DCHWT, GTF and WLS."""

import numpy as np
import pytest

from densefuse_tf import baselines
from densefuse_tf.errors import UserError
from densefuse_tf.fusion import methods

CLASSICAL = {"cbf": 6, "dchwt": 8, "gtf": 2, "wls": 1}
# These train, or stretch what they make: of a constant image nothing can be made.
LEARNED = {"cnn": 15, "deepfuse": 2, "jsr": 7, "jsrsd": 7}
LEAST_SIDE = CLASSICAL | LEARNED

every = pytest.mark.parametrize("name", LEAST_SIDE)
learned = pytest.mark.parametrize("name", LEARNED)
classical = pytest.mark.parametrize("name", CLASSICAL)


@pytest.fixture(autouse=True)
def no_warnings():
    """A division by zero or a NaN on the way is an error."""
    with np.errstate(all="raise", under="ignore"):
        yield


def check(fused, shape):
    assert fused.dtype == np.uint8
    assert fused.shape == shape


@every
def test_it_is_registered_with_a_line_that_says_what_it_is(name):
    assert name in baselines.names()
    summary = methods.summary(name)
    assert summary.endswith(".")
    assert len(summary) < 80


@every
def test_smaller_images_are_refused_with_the_least_size(name):
    side = LEAST_SIDE[name]
    image = np.zeros((side - 1, 30), np.uint8)
    with pytest.raises(UserError, match=f"{name} expects at least {side}x{side}"):
        baselines.create(name).fuse(image, image)


@every
def test_images_that_are_no_pair_are_refused(name, scene):
    ir, vis = scene(31, 26)
    with pytest.raises(UserError, match="ir is 31x26 and vis is 31x25"):
        baselines.create(name).fuse(ir, vis[:, 1:])
    with pytest.raises(UserError, match=f"{name} expects uint8"):
        baselines.create(name).fuse(ir, vis / 255)


@learned
def test_a_constant_image_is_refused(name, scene):
    ir, vis = scene(31, 26)
    with pytest.raises(UserError, match="ir has the value 7 in every pixel"):
        baselines.create(name).fuse(ir * 0 + 7, vis)


@classical
@pytest.mark.parametrize("more", [(0, 0), (0, 1), (1, 0), (7, 30), (41, 3)])
def test_every_size_from_the_least_on_is_fused(name, more):
    shape = tuple(LEAST_SIDE[name] + extra for extra in more)
    random = np.random.default_rng(1)
    ir, vis = random.integers(0, 256, (2, *shape), dtype=np.uint8)
    method = baselines.create(name)
    check(method.fuse(ir, vis), shape)
    assert np.isfinite(method.raw(ir, vis)).all()


@classical
@pytest.mark.parametrize("levels", [(0, 0), (7, 200), (255, 0)])
def test_constant_images_become_a_constant_image(name, levels):
    ir, vis = (np.full((24, 32), level, np.uint8) for level in levels)
    fused = baselines.create(name).fuse(ir, vis)
    check(fused, (24, 32))
    # The mean of the two, or the infrared one for gradient transfer.
    expected = levels[0] if name == "gtf" else sum(levels) / 2
    # A half is a tie that the last bit decides.
    assert (np.abs(fused - expected) <= 0.5).all()


@classical
@pytest.mark.parametrize("level", [0, 90, 255])
def test_one_constant_image_is_fused(name, level, scene):
    ir, vis = scene(29, 37)
    flat = np.full_like(ir, level)
    for pair in ((flat, vis), (ir, flat)):
        method = baselines.create(name)
        check(method.fuse(*pair), ir.shape)
        assert np.isfinite(method.raw(*pair)).all()


@classical
@pytest.mark.parametrize("shape", [(48, 64), (16, 40)])
def test_equal_images_are_their_own_fusion(name, shape, scene):
    image, _ = scene(*shape)
    assert (baselines.create(name).fuse(image, image) == image).all()


@classical
def test_black_and_white_images_are_fused(name):
    random = np.random.default_rng(2)
    ir, vis = random.integers(0, 2, (2, 21, 34), dtype=np.uint8) * 255
    check(baselines.create(name).fuse(ir, vis), (21, 34))


@classical
def test_it_fuses_alike_again_in_any_layout_and_leaves_the_sources(name, scene):
    ir, vis = scene(31, 26)
    copies = ir.copy(), vis.copy()
    method = baselines.create(name)
    fused = method.fuse(ir, vis)
    wide = np.repeat(ir, 2, axis=1)[:, ::2]
    assert (method.fuse(wide, np.asfortranarray(vis)) == fused).all()
    assert (ir == copies[0]).all()
    assert (vis == copies[1]).all()


@classical
def test_options_that_make_no_sense_are_refused(name):
    option = {"cbf": "radius", "dchwt": "levels", "gtf": "lambda", "wls": "lambda"}
    for text in ("0", "-3"):
        with pytest.raises(UserError, match=f"option {option[name]} of method {name}"):
            baselines.create(name, {option[name]: text})
