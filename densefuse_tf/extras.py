"""The packages of each extra, and the line that names the extra that is missing."""

import importlib.util

from densefuse_tf.errors import UserError

# For each extra of setup.cfg: the modules that it brings, and what pip calls them.
_PACKAGES = {
    "video": {"imageio_ffmpeg": "imageio-ffmpeg"},
    "train": {"matplotlib": "matplotlib", "tensorboard": "tensorboard"},
    "serving": {"tensorflow_serving": "tensorflow-serving-api"},
    "litert": {"ai_edge_litert": "ai-edge-litert"},
    "onnx": {"onnxruntime": "onnxruntime", "tf2onnx": "tf2onnx"},
    "beam": {"apache_beam": "apache-beam"},
    "torch": {"torch": "torch"},
    "demo": {"gradio": "gradio"},
    "flir": {"flyr": "flyr"},
    "dask": {
        "apache_beam": "apache-beam",
        "dask": "dask",
        "distributed": "distributed",
    },
}


def missing(extra: str) -> list[str]:
    """Returns what pip calls the packages of an extra that are not installed."""
    return [
        package
        for module, package in _PACKAGES[extra].items()
        if importlib.util.find_spec(module) is None
    ]


def require(extra: str, what: str) -> None:
    """Checks that the packages of an extra are installed, without importing them.

    Args:
      extra: One of the extras of setup.cfg.
      what: What needs them: the first words of the error.

    Raises:
      UserError: A package is missing; says what to install.
    """
    if packages := missing(extra):
        needed = " and ".join(packages)
        raise UserError(
            f"{what} needs {needed}: pip install '.[{extra}]' in a checkout"
        )
