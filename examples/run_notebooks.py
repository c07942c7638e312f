"""Executes the notebooks of examples/ and stores their outputs in them.

    python examples/run_notebooks.py                              # all, in place
    python examples/run_notebooks.py --notebook=quickstart.ipynb --output=executed.ipynb

Run it after a change of a notebook, of the shipped model or of what either computes:
the tests compare the stored outputs with new ones. It needs the extra `notebooks`.
The kernel is that of the Python that runs this script, whatever Jupyter is set up to
start, and nothing is read from or written to Jupyter's and IPython's own folders.
What is printed to standard error, TensorFlow's log, is not stored, nor is any time.
"""

import importlib
import os
import pathlib
import sys
import tempfile

import jupyter_client
import nbclient
import nbformat
from absl import flags
from jupyter_client import kernelspec

# Run as a script from a checkout, the package may not be installed.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from densefuse_tf import startup
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError
from densefuse_tf.io import files

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOTEBOOKS = tuple(
    ROOT / "examples" / name
    for name in (
        "quickstart.ipynb",
        "multifocus.ipynb",
        "exposures.ipynb",
        "own_strategy.ipynb",
    )
)

_FLAGS = flags.FlagValues()
_NOTEBOOK = flags.DEFINE_enum(
    "notebook",
    None,
    [path.name for path in NOTEBOOKS],
    "The only notebook to execute.",
    flag_values=_FLAGS,
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "The notebook that is written, with --notebook; by default that notebook itself.",
    flag_values=_FLAGS,
)

# Seconds that one cell may take; a whole notebook takes some 20 on two cores.
_TIMEOUT = 300
_METADATA = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": kernelspec.NATIVE_KERNEL_NAME,
    },
    "language_info": {"name": "python"},
}


def execute(path: pathlib.Path, folder: pathlib.Path) -> nbformat.NotebookNode:
    """Executes a notebook with the Python that runs, from the first cell to the last.

    Args:
      path: The notebook.
      folder: The working directory; Jupyter's is the notebook's folder.

    Returns:
      The notebook with its outputs, standard error among them.

    Raises:
      nbclient.exceptions.CellExecutionError: A cell raised something.
    """
    # On its first import on a machine it says that it takes long: not in the kernel.
    importlib.import_module("matplotlib.font_manager")
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as private:
        variables = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
        environment = os.environ | {
            **dict.fromkeys((*variables, "IPYTHONDIR", "TMPDIR"), private),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        }
        # Without folders to look for others in, what is left is this Python's kernel.
        kernel = jupyter_client.AsyncKernelManager(
            kernel_name=kernelspec.NATIVE_KERNEL_NAME,
            kernel_spec_manager=kernelspec.KernelSpecManager(kernel_dirs=[]),
            connection_file=os.path.join(private, "kernel.json"),
            # Sockets beside that file, and no port that others could reach.
            transport="ipc",
        )
        client = nbclient.NotebookClient(
            notebook,
            km=kernel,
            timeout=_TIMEOUT,
            record_timing=False,
            coalesce_streams=True,
        )
        # What the notebook prints is in its cells; the kernel prints it here once more.
        with startup.hushed():
            client.execute(cwd=str(folder), env=environment, cleanup_kc=True)
    return notebook


def without_stderr(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy of an executed notebook as it is stored."""
    stored = nbformat.from_dict({**notebook, "metadata": _METADATA})
    for cell in stored.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                output for output in cell.outputs if output.get("name") != "stderr"
            ]
    return stored


def main() -> None:
    if _OUTPUT.value and not _NOTEBOOK.value:
        raise UserError("--output goes with --notebook, which is missing")
    for path in NOTEBOOKS:
        if _NOTEBOOK.value in (None, path.name):
            text = nbformat.writes(without_stderr(execute(path, path.parent)))
            with files.replacing(pathlib.Path(_OUTPUT.value or path)) as temporary:
                temporary.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
