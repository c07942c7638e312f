"""Weights and dictionaries of the authors, converted once."""

import numpy as np
from scipy import io
from scipy import sparse

from densefuse_tf.baselines import cnn_network
from densefuse_tf.baselines import dictionaries
from densefuse_tf.commands import convert_weights

SHAPES = {
    "weights_b1_1": (9, 64),
    "weights_b1_2": (64, 9, 128),
    "weights_b1_3": (128, 9, 256),
    "weights_output": (512, 64, 2),
    "biases_b1_1": (64, 1),
    "biases_b1_2": (128, 1),
    "biases_b1_3": (256, 1),
}


def convert(*files) -> int:
    return convert_weights.run(["convert_weights", *map(str, files)])


def test_weights_and_dictionaries_are_read_afterwards(tmp_path, capsys):
    random = np.random.default_rng(0)
    arrays = {k: random.standard_normal(s, np.float32) for k, s in SHAPES.items()}
    io.savemat(tmp_path / "cnn.mat", arrays)
    assert convert(tmp_path / "cnn.mat", tmp_path / "cnn.npz") == 0
    read = cnn_network.read_weights(tmp_path / "cnn.npz")
    for name, tensor in cnn_network.from_matlab("", arrays).items():
        np.testing.assert_array_equal(read[name], tensor)
    atoms = random.standard_normal(dictionaries.SHAPE)
    atoms /= np.linalg.norm(atoms, axis=0)
    io.savemat(tmp_path / "D.dat", {"D": atoms}, appendmat=False)
    assert convert(tmp_path / "D.dat", tmp_path / "d.npz") == 0
    np.testing.assert_array_equal(dictionaries.read(tmp_path / "d.npz"), atoms)
    assert "a dictionary: " in capsys.readouterr().out


def test_a_mistake_is_one_line(tmp_path, put, capsys):
    io.savemat(tmp_path / "E.mat", {"E": np.zeros(3)})
    cells = np.full(dictionaries.SHAPE, 1.0, object)
    io.savemat(tmp_path / "D.mat", {"D": cells})
    sparse_one = sparse.csc_matrix(np.eye(*dictionaries.SHAPE))
    io.savemat(tmp_path / "S.mat", {"D": sparse_one})
    for given, message in (
        ((), "0 files are given: expected two, IN.mat OUT.npz"),
        (("none.mat", "out.npz"), "none.mat: cannot be read: No such file"),
        (("E.mat", "out.mat"), "out.mat: expected a name that ends in .npz"),
        ((tmp_path / "E.mat", "out.npz"), "E.mat: holds E: expected the weights"),
        ((tmp_path / "D.mat", tmp_path / "d.npz"), "D.mat: D is object: expected flo"),
        ((tmp_path / "S.mat", tmp_path / "d.npz"), "S.mat: D has shape (): expected"),
        ((put(b"MATLAB", "x.mat"), "out.npz"), "x.mat: cannot be read as a MATLAB"),
    ):
        assert convert(*given) == 2
        line = capsys.readouterr().err
        assert message in line and line.count("\n") == 1
    assert not (tmp_path / "d.npz").exists()


def test_a_file_that_ends_its_reader_is_one_line(put, capsys, monkeypatch):
    # What the segmentation fault in SciPy does to the process that reads.
    monkeypatch.setattr(convert_weights, "_read", convert_weights.os.abort)
    path = put(b"MATLAB", "x.mat")
    assert convert_weights.run(["convert_weights", str(path), "out.npz"]) == 2
    assert "x.mat: cannot be read as a MATLAB 5.0 file" in capsys.readouterr().err
