"""`densefuse_tf.live`: two iterators in, pictures out."""

import itertools
import threading
import time

import numpy as np
import pytest
from skimage import transform

import densefuse_tf
from densefuse_tf import registration
from densefuse_tf.cameras.pairing import Counts
from densefuse_tf.cameras.settings import USUAL
from densefuse_tf.errors import UserError
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.settings import FusionSettings

Y, X = np.mgrid[:64, :80]
IR = (7000 + 300 * (np.sin(X / 9) + np.cos(Y / 7))).astype(np.uint16)
VIS = np.clip(
    120 + 60 * np.stack([np.sin(X / 5), np.cos(Y / 6), np.sin(Y / 9)], 2), 0, 255
).astype(np.uint8)


@pytest.fixture(scope="module")
def fuser():
    return Fuser(FusionSettings("1e2", **USUAL))


def fused(pairs, fuser, **options):
    """The pictures of these pairs, each of which comes once the last one is done."""
    turn, stored, ended = threading.Semaphore(1), threading.Semaphore(0), []
    counts = options.setdefault("counts", Counts())

    def infrared():
        for index, (frame, _) in enumerate(pairs):
            turn.acquire(timeout=30)
            yield index / 10, frame
            stored.release()
        turn.acquire(timeout=30)

    def visible():
        for index, (_, frame) in enumerate(pairs):
            stored.acquire(timeout=30)
            failed = counts.failed
            yield index / 10, frame
            while len(made) + counts.failed <= index and not ended:
                time.sleep(0.001)
            if counts.failed > failed:
                turn.release()

    made = []
    try:
        for picture in densefuse_tf.live(infrared(), visible(), fuser=fuser, **options):
            made.append(picture)
            turn.release()
    finally:
        ended.append(True)
    return made


def test_pictures_are_what_the_fuser_makes(fuser):
    made = fused([(IR, VIS)] * 3, fuser)
    assert [moment for moment, _ in made] == [0.0, 0.1, 0.2]
    expected = fuser.fuse([IR, VIS]).image
    for _, image in made:
        np.testing.assert_array_equal(image, expected)
    assert expected.shape == (64, 80, 3)


def test_a_hot_object_leaves_the_rest_of_the_picture_alone(fuser):
    hot = IR.copy()
    for inset in range(4):
        inside = slice(20 + inset, 36 - inset)
        hot[inside, inside] = IR[inside, inside] + (inset + 1) * 5000
    made = fused([(IR, VIS)] * 3 + [(hot, VIS)] * 12 + [(IR, VIS)] * 5, fuser)
    assert len(made) == 20
    elsewhere = np.ones(IR.shape, bool)
    elsewhere[8:48, 8:48] = False
    images = [image.astype(int) for _, image in made]
    steps = [
        np.abs(after - before)[elsewhere].max()
        for before, after in itertools.pairwise(images)
    ]
    assert 0 < max(steps) <= 2


def test_what_is_wrong_with_a_frame_costs_that_frame(fuser, caplog):
    shutter = np.full_like(IR, 7100)
    torn = VIS[:50]
    broken = VIS.astype(np.int64)
    pairs = [(IR, VIS), (shutter, VIS), (IR, torn), (IR, VIS), (IR, broken), (IR, VIS)]
    counts = Counts()
    with caplog.at_level("WARNING"):
        made = fused(pairs, fuser, counts=counts)
    assert [moment for moment, _ in made] == [0.0, 0.3, 0.5]
    assert counts.failed == 3
    # Each time that it begins.
    said = [line for line in caplog.messages if "a frame is left out" in line]
    assert len(said) == 2
    assert "ir: no contrast" in said[0]
    assert "int64" in said[1]


def test_a_mistake_in_each_pair_ends_it(fuser):
    with pytest.raises(UserError, match="ir is 64x80 and vis is 50x80.*--register"):
        fused([(IR, VIS[:50])] * 15, fuser)


def test_a_rate_that_is_none_is_refused(fuser):
    with pytest.raises(UserError, match="rate is 'fast': expected ir, vis, or"):
        next(densefuse_tf.live([], [], fuser=fuser, rate="fast"))


def test_frames_are_aligned(fuser, tmp_path):
    small = IR[:50, :60]
    found = registration.Registration(
        transform.ProjectiveTransform([[1.0, 0, -4], [0, 1, -6], [0, 0, 1]]),
        "translation",
        VIS.shape[:2],
        small.shape,
    )
    registration.save(tmp_path / "rig.json", found)
    ((_, image),) = fused([(small, VIS)], fuser, transform=tmp_path / "rig.json")
    expected = fuser.fuse(
        [small, VIS[6:56, 4:64]], ranges=[(int(small.min()), int(small.max())), None]
    )
    np.testing.assert_allclose(image, expected.image, atol=1)


def test_false_colours_of_the_infrared_frame_are_not_shown(fuser):
    colored = np.stack([IR // 64, IR // 80, IR // 200], 2).astype(np.uint8)
    gray = np.repeat(VIS[:, :, :1], 3, axis=2)
    ((_, image),) = fused([(colored, gray)], fuser)
    assert image.ndim == 2


@pytest.mark.parametrize(
    ("ir", "found"),
    [
        ([IR], "ndarray"),
        ("ir.mkv", "str"),
        ([(IR, 0.0)], "ndarray"),
        ([(0.0, IR, VIS)], "tuple"),
    ],
)
def test_what_gives_no_time_and_frame_is_refused(fuser, ir, found):
    message = f"ir gives a value of type {found}: expected an iterator of .time in sec"
    with pytest.raises(UserError, match=message):
        list(densefuse_tf.live(ir, itertools.repeat((0.0, VIS)), fuser=fuser))
