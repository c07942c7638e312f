"""Patches and orthogonal matching pursuit."""

import numpy as np
import pytest

from densefuse_tf.baselines import sparse_coding


def _dictionary(random, atoms=40, size=20):
    dictionary = random.standard_normal((size, atoms))
    return dictionary / np.linalg.norm(dictionary, axis=0)


def _pursue(signals, dictionary):
    return sparse_coding.pursue(signals @ dictionary, dictionary.T @ dictionary)


def test_patches_are_vectors_column_by_column_and_stand_row_by_row():
    image = np.arange(9 * 10.0).reshape(9, 10)
    vectors = sparse_coding.patches(image)
    assert vectors.shape == (3 * 4, 49)
    # The patch at row 1, column 2; its pixel in row 3, column 5.
    assert vectors[1 * 4 + 2, 5 * 7 + 3] == image[1 + 3, 2 + 5]


def test_patches_at_a_stride_begin_at_the_corner():
    image = np.arange(14 * 12.0).reshape(14, 12)
    vectors = sparse_coding.patches(image, 3)
    assert vectors.shape == (3 * 2, 49)
    np.testing.assert_array_equal(vectors[:, 0], image[0:8:3, 0:6:3].ravel())


# How much of every other atom is its own, and not that of the atom before it. Of 20
# atoms in nearly equal pairs a code of 16 takes both.
@pytest.mark.parametrize(("count", "own"), [(40, 1.0), (20, 0.02)])
def test_pursue_equals_a_pursuit_by_least_squares(count, own):
    random = np.random.default_rng(0)
    dictionary = _dictionary(random, atoms=count)
    dictionary[:, 1::2] = (1 - own) * dictionary[:, ::2] + own * dictionary[:, 1::2]
    dictionary /= np.linalg.norm(dictionary, axis=0)
    signals = random.standard_normal((25, 20))
    atoms, coefficients = _pursue(signals, dictionary)
    for signal, own_atoms, own_coefficients in zip(
        signals, atoms, coefficients, strict=True
    ):
        taken, residual = [], signal
        for _ in range(sparse_coding.SPARSITY):
            taken.append(int(np.argmax((residual @ dictionary) ** 2)))
            solution = np.linalg.lstsq(dictionary[:, taken], signal, rcond=None)[0]
            residual = signal - dictionary[:, taken] @ solution
        assert own_atoms.tolist() == taken
        np.testing.assert_allclose(own_coefficients, solution, rtol=1e-6, atol=1e-9)


def test_pursue_finds_a_sparse_signal_and_stops():
    random = np.random.default_rng(0)
    dictionary = _dictionary(random, size=200)
    signal = dictionary[:, [3, 17]] @ [2.0, -1.0]
    atoms, coefficients = _pursue(signal[None], dictionary)
    assert atoms[0, :3].tolist() == [3, 17, -1]
    np.testing.assert_allclose(coefficients[0, :3], [2.0, -1.0, 0.0], atol=1e-12)
    assert not coefficients[0, 3:].any()


def test_pursue_takes_no_atom_for_a_signal_of_zeros():
    atoms, coefficients = _pursue(
        np.zeros((2, 20)), _dictionary(np.random.default_rng(0))
    )
    assert (atoms == -1).all()
    assert not coefficients.any()


def test_pursue_takes_no_atom_inside_the_span_of_those_taken():
    random = np.random.default_rng(0)
    dictionary = np.repeat(_dictionary(random, atoms=5), 2, axis=1)
    atoms, coefficients = _pursue(random.standard_normal((10, 20)), dictionary)
    # The first of an atom and its copy is taken, and the five are all there is.
    assert (np.sort(atoms[:, :5]) == [0, 2, 4, 6, 8]).all()
    assert (atoms[:, 5:] == -1).all()
    assert np.isfinite(coefficients).all()


def test_of_atoms_that_tie_but_for_rounding_the_first_is_taken():
    correlations = np.array([[0.5, 1.0, -1.0 - 1e-12, 1.0 + 1e-6]])
    for count, expected in ((3, 1), (4, 3)):
        atoms, _ = sparse_coding.pursue(correlations[:, :count], np.eye(count))
        assert atoms[0, 0] == expected
