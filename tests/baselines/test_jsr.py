"""The baselines JSR and JSRSD: golden images, properties, bad input."""

import itertools

import numpy as np
import pytest

from densefuse_tf.baselines import dictionaries
from densefuse_tf.baselines import jsr
from densefuse_tf.baselines import jsrsd
from densefuse_tf.errors import UserError

METHODS = {"JSR": jsr.JSR, "JSRSD": jsrsd.JSRSD}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file with a random dictionary."""
    columns = np.random.default_rng(0).standard_normal(dictionaries.SHAPE)
    path = tmp_path_factory.mktemp("dictionary") / "dictionary.npy"
    np.save(path, columns / np.linalg.norm(columns, axis=0))
    return str(path)


@pytest.fixture
def pair():
    return np.random.default_rng(0).integers(256, size=(2, 21, 18), dtype=np.uint8)


@pytest.mark.parametrize(
    ("number", "top", "left"), [(1, 0, 0), (1, 180, 200), (11, 120, 150), (11, 197, 0)]
)
@pytest.mark.parametrize("name", METHODS)
def test_raw_gives_the_golden_values_of_a_crop(
    shared, tno, golden, name, number, top, left
):
    crop = np.s_[top : top + 50, left : left + 60]
    file = shared / f"methods/JSR/dictionary{number}.npy"
    expected = golden(name, number, raw=True)
    height, width = expected.shape
    raw = METHODS[name](dictionary=str(file)).raw(
        *(image[crop] for image in tno(number))
    )
    # Where the crop ends inside the image, so do the patches and their neighbours.
    margin = 6 + (2 if name == "JSRSD" else 0)
    inner = np.s_[
        margin if top else 0 : -margin if top + 50 < height else None,
        margin if left else 0 : -margin if left + 60 < width else None,
    ]
    np.testing.assert_allclose(raw[inner], expected[crop][inner], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_bands_do_not_change_the_result(monkeypatch, name, file, pair):
    fuser = METHODS[name](dictionary=file)
    whole = fuser.raw(*pair)
    monkeypatch.setattr(jsr, "_BAND_PLACES", 24)
    monkeypatch.setattr(jsr, "_CHUNK_PLACES", 7)
    np.testing.assert_allclose(fuser.raw(*pair), whole, rtol=0, atol=1e-9)


def naive_codes(pair, dictionary):
    """The codes of each patch of a pair, [rows, columns, 768], patch by patch."""
    zeros = np.zeros_like(dictionary)
    joint = np.block(
        [
            [dictionary / np.sqrt(2), dictionary, zeros],
            [dictionary / np.sqrt(2), zeros, dictionary],
        ]
    )
    codes = np.zeros((pair[0].shape[0] - 6, pair[0].shape[1] - 6, 768))
    for y, x in np.ndindex(*codes.shape[:2]):
        window = np.s_[y : y + 7, x : x + 7]
        signal = np.concatenate([image[window].ravel("F") / 255 for image in pair])
        taken, residual = [], signal
        for _ in range(16):
            squares = (residual @ joint) ** 2
            best = 0
            for atom in range(1, 768):
                if squares[atom] > squares[best] * (1 + 1e-9):
                    best = atom
            taken.append(best)
            solution = np.linalg.lstsq(joint[:, taken], signal, rcond=None)[0]
            residual = signal - joint[:, taken] @ solution
        codes[y, x, taken] = solution
    return codes


def naive_weights(codes, *, saliency):
    """The weights of the two images at each place by JSR, or by JSRSD's saliency."""
    rows, columns, _ = codes.shape
    unique = codes[..., 256:].reshape(rows, columns, 2, 256)
    norms = np.abs(unique).sum(axis=3)
    weights = norms / norms.max(axis=2, keepdims=True)
    inner = itertools.product(range(2, rows - 2), range(2, columns - 2))
    for i, j in inner if saliency else ():
        salient = np.zeros(2)
        for s in range(2):
            total = 0.0
            for p, q in itertools.product(range(i - 2, i + 3), range(j - 2, j + 3)):
                distance = np.linalg.norm(unique[i, j, s] - unique[p, q, s])
                total += distance / (1 + 2 * np.hypot(p - i, q - j))
            salient[s] = 0.4 * (1 - np.exp(-total / 24)) + 0.6 * norms[i, j, s]
        weights[i, j] = salient / salient.max()
    return weights


def naive_jsr(codes, weights, dictionary):
    """The fused image in 0..1: the running halving of the fused patches."""
    rows, columns, _ = codes.shape
    fused = np.zeros((rows + 6, columns + 6))
    for y, x in np.ndindex(rows, columns):
        common, ir, vis = np.split(codes[y, x], 3)
        first, second = weights[y, x]
        patch = dictionary @ (common / np.sqrt(2) + first * ir + second * vis)
        window = np.s_[y : y + 7, x : x + 7]
        fused[window] = (fused[window] + patch.reshape(7, 7).T) / 2
    return fused


@pytest.mark.parametrize("name", METHODS)
def test_raw_is_the_running_halving_of_the_fused_patches(name, file, pair):
    dictionary = np.load(file)
    pair = pair[:, :15, :14]
    codes = naive_codes(pair, dictionary)
    weights = naive_weights(codes, saliency=name == "JSRSD")
    raw = METHODS[name](dictionary=file).raw(*pair)
    expected = naive_jsr(codes, weights, dictionary)
    np.testing.assert_allclose(raw, expected, rtol=0, atol=1e-9)


def test_equal_images_are_all_in_common_and_darker_at_the_border(file, pair):
    image = pair[0]
    dictionary = np.load(file)
    codes = jsr._code(image / 255, image / 255, dictionary, jsr._joint_gram(dictionary))
    assert (codes.atoms < 256).all()
    raw = jsr.JSR(dictionary=file).raw(image, image)
    ones = np.zeros(image.shape)
    for y, x in itertools.product(range(15), range(12)):
        window = np.s_[y : y + 7, x : x + 7]
        ones[window] = (ones[window] + 1) / 2
    assert ones[0, 0] == ones[-1, -1] == 0.5
    # 16 of the 256 atoms code noise only roughly.
    assert np.corrcoef((ones * image).ravel(), raw.ravel())[0, 1] > 0.9


def test_of_a_common_atom_and_its_two_copies_the_infrared_one_is_second(file):
    dictionary = np.load(file)
    atom = dictionary[:, 5].reshape(7, 7).T
    ir, vis = 3 * atom, 1 * atom
    codes = jsr._code(ir, vis, dictionary, jsr._joint_gram(dictionary))
    assert codes.atoms[0, 0, 0] in (5, 256 + 5)
    other = jsr._code(3.0 * atom, 2.9 * atom, dictionary, jsr._joint_gram(dictionary))
    assert other.atoms[0, 0, :2].tolist() == [5, 256 + 5]


@pytest.mark.parametrize("name", METHODS)
def test_black_parts_stay_black(name, file, pair):
    dark = np.where(np.arange(21)[:, None] < 12, 0, pair).astype(np.uint8)
    raw = METHODS[name](dictionary=file).raw(*dark)
    assert np.isfinite(raw).all()
    assert not raw[:6].any()


@pytest.mark.parametrize("name", METHODS)
def test_the_smallest_image_is_one_patch(name, file, pair):
    fuser = METHODS[name](dictionary=file)
    ir, vis = pair[:, :7, :7]
    assert fuser.fuse(ir, vis).shape == (7, 7)
    assert fuser.fuse(*pair[:, :7]).shape == (7, 18)


@pytest.mark.parametrize("name", METHODS)
def test_without_a_file_the_dictionary_is_trained_from_the_pair(tmp_path, name):
    random = np.random.default_rng(0)
    pair = random.integers(256, size=(2, 52, 45), dtype=np.uint8)
    options = {"seed": 3, "iterations": 1, "cache": str(tmp_path)}
    fused = METHODS[name](**options).fuse(*pair)
    (trained,) = tmp_path.iterdir()
    given = METHODS[name](dictionary=str(trained)).fuse(*pair)
    np.testing.assert_array_equal(fused, given)


@pytest.mark.parametrize("name", METHODS)
def test_fuse_refuses_impossible_options(name, pair):
    for options, message in (
        ({"iterations": 0}, f"iterations of method {name.lower()} is 0: expected 1"),
        ({"seed": -1}, f"seed of method {name.lower()} is -1: expected 0 or more"),
        ({"dictionary": "none.npy"}, "none.npy: no such file"),
    ):
        with pytest.raises(UserError, match=message):
            METHODS[name](**options).fuse(*pair)
