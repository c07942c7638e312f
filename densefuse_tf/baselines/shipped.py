"""Where the trained weights are that ship with the project."""

import pathlib

from densefuse_tf.errors import UserError

# They are installed with the package, or they lie in a checkout.
_FOLDERS = (
    pathlib.Path(__file__).parents[1] / "trained",
    pathlib.Path(__file__).parents[2] / "checkpoints",
)


def locate(name: str) -> pathlib.Path:
    """Returns the path of a shipped file.

    Args:
      name: Its name, "deepfuse.keras".

    Raises:
      UserError: The file is missing.
    """
    paths = [folder / name for folder in _FOLDERS]
    for path in paths:
        if path.is_file():
            return path
    raise UserError(
        f"{paths[-1]}: no such file: expected the weights that ship with the project "
        "there; others can be given with checkpoint=FILE"
    )
