"""Converts weights or a dictionary in a MATLAB file into an .npz file, once.

  python -m densefuse_tf.commands.convert_weights cnnmodel.mat cnn.npz
  python -m densefuse_tf.commands.convert_weights D_unit7_im1.mat dictionary.npz

IN.mat holds the authors' weights of the method cnn, or a dictionary D of jsr and jsrsd.
fuse.py reads no MATLAB file, since a damaged one can end the process that reads it.
Exit status: 0, or 2 for a mistake.
"""

import concurrent.futures
import multiprocessing
import os
import pathlib
import sys
from typing import Any

import numpy as np
from absl import flags
from scipy import io

from densefuse_tf.baselines import cnn_network
from densefuse_tf.baselines import dictionaries
from densefuse_tf.commands import progress
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError
from densefuse_tf.io import files

_FLAGS = flags.FlagValues()


def main(paths: list[str]) -> None:
    if len(paths) != 2:
        raise UserError(f"{len(paths)} files are given: expected two, IN.mat OUT.npz")
    source, target = map(os.path.expanduser, paths)
    if pathlib.Path(target).suffix != ".npz":
        raise UserError(f"{target}: expected a name that ends in .npz")
    with files.open_to_read(source, "a MATLAB 5.0 file"):
        pass
    arrays = _apart(source)
    if "weights_b1_1" in arrays:
        what = "weights of the CNN"
        arrays = cnn_network.from_matlab(source, arrays)
    elif "D" in arrays:
        what = "a dictionary"
        arrays = {"D": dictionaries.of_arrays(source, arrays)}
    else:
        raise UserError(
            f"{source}: holds {', '.join(arrays) or 'nothing'}: expected the weights "
            "of the CNN, or a dictionary D"
        )
    with files.replacing(target) as temporary:
        np.savez_compressed(temporary, **dict[str, Any](arrays))
    progress.say(f"{what}: {target}")


def _apart(path: str) -> dict[str, np.ndarray]:
    """Reads a MATLAB file in a process of its own, which damage may end."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as executor:
        try:
            return executor.submit(_read, path).result()
        except Exception as error:
            raise UserError(f"{path}: cannot be read as a MATLAB 5.0 file") from error


def _read(path: str) -> dict[str, np.ndarray]:
    arrays = io.loadmat(path, appendmat=False)
    # A sparse matrix is no array.
    return {k: np.asarray(array) for k, array in arrays.items() if k[:2] != "__"}


def run(argv: list[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv, takes_files=True)


if __name__ == "__main__":
    sys.exit(run())
