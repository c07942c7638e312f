"""The dictionaries of JSR and JSRSD: files, training, cache."""

import numpy as np
import pytest
from scipy import io
from scipy import ndimage

from densefuse_tf.baselines import dictionaries
from densefuse_tf.baselines import sparse_coding
from densefuse_tf.errors import UserError


@pytest.fixture(scope="module")
def dictionary():
    columns = np.random.default_rng(0).standard_normal(dictionaries.SHAPE)
    return columns / np.linalg.norm(columns, axis=0)


@pytest.fixture(scope="module")
def pair():
    """Two smooth textures of 61x52."""
    random = np.random.default_rng(1)
    textures = ndimage.gaussian_filter(random.uniform(size=(2, 61, 52)), (0, 1, 1))
    textures -= textures.min()
    return np.rint(255 * textures / textures.max()).astype(np.uint8)


def _error(pair, dictionary):
    """The root mean square of what 16 atoms leave of the samples."""
    samples = np.concatenate([sparse_coding.patches(x / 255, 3) for x in pair])
    atoms, coefficients = sparse_coding.pursue(
        samples @ dictionary, dictionary.T @ dictionary
    )
    coded = np.einsum("nt,ntp->np", coefficients, dictionary.T[atoms])
    return np.sqrt(np.square(samples - coded).mean())


def test_read_takes_npy_and_npz_files(tmp_path, dictionary):
    np.save(tmp_path / "d.npy", np.asfortranarray(dictionary))
    np.savez(tmp_path / "d.npz", D=dictionary, other=np.zeros(2))
    for name in ("d.npy", "d.npz"):
        read = dictionaries.read(tmp_path / name)
        assert read.dtype == np.float64
        np.testing.assert_array_equal(read, dictionary)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.T, r"shape \(256, 49\): expected \(49, 256\), for a dict"),
        (lambda d: d[:, :255], r"shape \(49, 255\)"),
        (lambda d: d.astype(int), "is int64: expected floats"),
        (lambda d: d * np.where(np.arange(256) == 9, np.nan, 1), "NaN or infinity"),
        (lambda d: d * 2, "a column of norm 2: expected 1"),
        (lambda d: np.array(None), "cannot be read as a dictionary"),
    ],
)
def test_read_refuses_what_is_no_dictionary(tmp_path, dictionary, change, message):
    path = tmp_path / "d.npy"
    np.save(path, change(dictionary))
    with pytest.raises(UserError, match=message) as raised:
        dictionaries.read(path)
    assert str(path) in str(raised.value)


def test_read_refuses_files_that_are_missing_or_damaged(tmp_path, put, dictionary):
    np.savez(tmp_path / "other.npz", E=dictionary)
    io.savemat(tmp_path / "D.mat", {"D": dictionary})
    np.save(tmp_path / "whole.npy", dictionary)
    cut = put((tmp_path / "whole.npy").read_bytes()[:9000], "cut.npy")
    for path, message in (
        (tmp_path / "none.npy", "no such file"),
        (tmp_path, "is a folder"),
        (tmp_path / "other.npz", "holds no D: expected a dictionary"),
        (tmp_path / "D.mat", "is a MATLAB file: .* densefuse_tf.commands.convert_w"),
        (cut, "cannot be read as a dictionary"),
        (put(b"", "empty.mat"), "cannot be read as a dictionary"),
    ):
        with pytest.raises(UserError, match=message):
            dictionaries.read(path)


def test_training_makes_atoms_of_norm_1_that_fit_better_and_better(pair):
    trained = {n: dictionaries.trained(*pair, seed=0, iterations=n) for n in (1, 2, 4)}
    for dictionary in trained.values():
        assert dictionary.shape == dictionaries.SHAPE
        np.testing.assert_allclose(np.linalg.norm(dictionary, axis=0), 1, atol=1e-12)
    errors = [_error(pair, trained[n]) for n in (1, 2, 4)]
    assert errors[0] > errors[1] > errors[2]


def naive_codes(samples, atoms):
    """Orthogonal matching pursuit by least squares, [n, 256]."""
    codes = np.zeros((len(samples), len(atoms)))
    for sample, code in zip(samples, codes, strict=True):
        taken, rest = [], sample
        while len(taken) < 16 and np.max(squares := (atoms @ rest) ** 2) >= 1e-14:
            # The first of the atoms that tie is taken.
            taken.append(np.flatnonzero(squares >= squares.max() * (1 - 1e-9))[0])
            code[taken] = np.linalg.lstsq(atoms[taken].T, sample, rcond=None)[0]
            rest = sample - code @ atoms
    return codes


def naive_training(pair, seed, iterations):
    """K-SVD as KSVDBox 13 has it, one atom after the other, all errors anew."""
    samples = np.array(
        [
            image[top : top + 7, left : left + 7].ravel(order="F") / 255
            for image in pair
            for top in range(0, image.shape[0] - 6, 3)
            for left in range(0, image.shape[1] - 6, 3)
        ]
    )
    norms = np.linalg.norm(samples, axis=1)
    random = np.random.default_rng(seed)
    first = random.choice(np.flatnonzero(norms**2 > 1e-6), 256, replace=False)
    atoms = samples[first] / norms[first, None]
    for _ in range(iterations):
        codes, free, replaced = naive_codes(samples, atoms), [*range(len(samples))], []

        def replace(atom, errors, atoms=atoms, free=free):
            worst = max(free, key=lambda sample: errors[sample])
            free.remove(worst)
            atoms[atom] = samples[worst] / norms[worst]

        for atom in random.permutation(256):
            users = np.flatnonzero(codes[:, atom])
            if not len(users):
                replace(atom, ((samples - codes @ atoms) ** 2).sum(axis=1))
                replaced.append(atom)
                continue
            own = codes[users, atom]
            rest = samples[users] - codes[users] @ atoms + np.outer(own, atoms[atom])
            atoms[atom] = own @ rest / np.linalg.norm(own @ rest)
            codes[users, atom] = rest @ atoms[atom]
        errors = ((samples - codes @ atoms) ** 2).sum(axis=1)
        uses = (np.abs(codes) > 1e-7).sum(axis=0)
        for atom in range(256):
            likeness = np.delete(atoms @ atoms[atom], atom) ** 2
            if atom not in replaced and (likeness.max() > 0.99**2 or uses[atom] < 4):
                replace(atom, errors)
    return atoms.T


def test_training_is_k_svd(pair):
    small = [image[:46, :49].copy() for image in pair]
    # Several of the equal patches become atoms, and only one of these is used.
    small[0][:22, :22] = 200
    found = dictionaries.trained(*small, seed=3, iterations=2)
    np.testing.assert_allclose(found, naive_training(small, 3, 2), rtol=0, atol=1e-8)
    assert dictionaries.ITERATIONS == 50


def test_training_depends_on_the_seed_alone(pair):
    one, again, other = (
        dictionaries.trained(*pair, seed=seed, iterations=2) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_the_dictionary_of_a_smooth_pair_is_full_of_its_patches():
    """As the given dictionaries are: their atoms are coherent and get replaced."""
    rows, columns = np.mgrid[:70, :70]
    waves = [np.sin(rows / 40 + columns / 55 + phase) for phase in (0, 2)]
    smooth = [np.rint(120 + 100 * wave).astype(np.uint8) for wave in waves]
    dictionary = dictionaries.trained(*smooth, seed=0, iterations=3)
    samples = np.concatenate([sparse_coding.patches(x / 255, 3) for x in smooth])
    samples /= np.linalg.norm(samples, axis=1, keepdims=True)
    nearest = [np.abs(samples - atom).max(axis=1).min() for atom in dictionary.T]
    assert np.mean(np.array(nearest) < 1e-9) > 0.9


def test_an_improved_atom_is_one_step_towards_the_best_of_rank_one():
    random = np.random.default_rng(0)
    samples = random.standard_normal((30, 49))
    atoms = random.standard_normal((256, 49))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    chosen, coefficients = sparse_coding.pursue(samples @ atoms.T, atoms @ atoms.T)
    atom = int(chosen[0, 0])
    users = (chosen == atom).any(axis=1)
    codes = np.zeros((30, 256))
    np.put_along_axis(codes, chosen.astype(int), coefficients, axis=1)
    others = codes.copy()
    others[:, atom] = 0
    rest = (samples - others @ atoms)[users].T
    expected = rest @ codes[users, atom]
    expected /= np.linalg.norm(expected)

    residuals = samples - codes @ atoms
    uses = np.flatnonzero(chosen.ravel() == atom)
    dictionaries._improve(atom, uses, atoms, coefficients, residuals)
    np.testing.assert_allclose(atoms[atom], expected, atol=1e-12)
    codes[users, atom] = expected @ rest
    np.testing.assert_allclose(
        coefficients[chosen == atom], codes[users, atom], atol=1e-12
    )
    np.testing.assert_allclose(residuals, samples - codes @ atoms, atol=1e-12)


def test_the_cache_keeps_what_was_trained(tmp_path, pair, monkeypatch):
    cache = tmp_path / "made" / "here"
    first = dictionaries.trained(*pair, seed=0, iterations=1, cache=cache)
    (file,) = cache.iterdir()
    np.testing.assert_array_equal(dictionaries.read(file), first)
    monkeypatch.setattr(dictionaries, "_train", None)
    again = dictionaries.trained(*pair, seed=0, iterations=1, cache=cache)
    np.testing.assert_array_equal(again, first)
    monkeypatch.undo()
    dictionaries.trained(*pair, seed=1, iterations=1, cache=cache)
    dictionaries.trained(*pair[::-1], seed=0, iterations=1, cache=cache)
    assert len(list(cache.iterdir())) == 3


def test_a_cache_that_cannot_be_written_is_told_before_the_training(
    pair, put, monkeypatch
):
    monkeypatch.setattr(dictionaries, "_train", None)
    with pytest.raises(UserError, match="cannot be written"):
        dictionaries.trained(*pair, seed=0, iterations=1, cache=put(b"", "file"))


def test_training_refuses_a_pair_with_too_few_patches(pair):
    small = [image[:36, :39] for image in pair]
    with pytest.raises(UserError, match="36x39 and have 220 patches .* at least 256"):
        dictionaries.trained(*small, seed=0)
    dark = [np.where(np.arange(52) < 40, 0, image) for image in pair]
    with pytest.raises(UserError, match="patches that are not black"):
        dictionaries.trained(*dark, seed=0)
