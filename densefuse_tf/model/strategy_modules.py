"""Loads fusion strategies from a user's own module, and tries them before the work."""

import hashlib
import importlib
import importlib.util
import inspect
import os
import pathlib
import sys
import traceback
import types

import numpy as np
import tensorflow as tf

from densefuse_tf.errors import UserError
from densefuse_tf.model import strategies

_CHANNELS = 64
# The size of the feature maps with which a strategy is tried.
_TRIAL_SIZE = (9, 11)


def load(module: str | os.PathLike | None) -> tuple[str, ...]:
    """Imports a module that registers fusion strategies.

    A module that is imported already, under whatever name, is not run again.

    Args:
      module: A file that ends in .py, or the dotted name of a module that Python
        finds; None for nothing.

    Returns:
      The names of the strategies that the module registers, in order.

    Raises:
      UserError: There is no such module, it cannot be imported, it takes the name of a
        strategy that is there already, or it registers none.
    """
    if module is None:
        return ()
    module = os.fspath(module)
    before = set(strategies.names())
    try:
        imported = _of_file(module) if _is_file(module) else _of_name(module)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"strategy_module {module}: cannot be imported: {_reason(error, module)}"
        ) from error
    own = tuple(
        name
        for name in strategies.names()
        if name not in before
        or strategies.get(name).function.__module__ == imported.__name__
    )
    if not own:
        raise UserError(
            f"strategy_module {module}: registers no fusion strategy: expected a "
            "function decorated with @densefuse_tf.strategy(NAME, ...)"
        )
    return own


def path_of(module: str | os.PathLike) -> pathlib.Path:
    """Returns the file of a module that `load` has imported.

    Such a file stands for the module in other processes and folders.
    """
    module = os.fspath(module)
    path = module if _is_file(module) else sys.modules[module].__file__
    return pathlib.Path(path or module).absolute()


def check(
    name: str,
    *,
    num_sources: int,
    window_radius: int,
    dtype: tf.DType = tf.float32,
) -> None:
    """Tries a strategy that is not one of this package on small feature maps.

    Raises:
      UserError: The function fails, or what it returns is not one tensor of feature
        maps of the type and the size of its arguments.
    """
    chosen = strategies.get(name)
    function = chosen.function
    if function.__module__ == strategies.__name__:
        return
    arguments = {"window_radius": window_radius} if chosen.takes_window_radius else {}
    maps = tf.TensorSpec([None, None, None, _CHANNELS], dtype)
    shape = (1, *_TRIAL_SIZE, _CHANNELS)
    trial = np.random.default_rng(0).uniform(0, 50, shape).astype(np.float32)

    @tf.function(input_signature=[maps] * num_sources, autograph=False)
    def run(*feature_maps):
        return function(list(feature_maps), **arguments)

    try:
        found = run(*[tf.cast(trial, dtype)] * num_sources)
    except Exception as error:
        file = inspect.getsourcefile(inspect.unwrap(function)) or ""
        raise UserError(
            f"the strategy {name!r} fails: {_reason(error, file)}"
        ) from error
    if (
        not isinstance(found, tf.Tensor)
        or found.dtype != dtype
        or tuple(found.shape) != shape
    ):
        what = f"a {type(found).__name__}"
        if isinstance(found, tf.Tensor):
            what = f"a {found.dtype.name} tensor of shape {list(found.shape)}"
        raise UserError(
            f"the strategy {name!r} returns {what} for {num_sources} feature maps of "
            f"shape {list(shape)}: expected one {dtype.name} tensor of that shape"
        )


def _is_file(module: str) -> bool:
    return module.endswith(".py") or os.sep in module


def _of_name(name: str) -> types.ModuleType:
    # What is on the way to a module may be missing as well as the module.
    try:
        is_found = importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        is_found = False
    if not is_found:
        raise UserError(
            f"strategy_module {name}: no such module: expected a file that ends in "
            ".py, or a module that is installed or in a folder of PYTHONPATH"
        )
    return importlib.import_module(name)


def _of_file(path: str) -> types.ModuleType:
    if not os.path.isfile(path):
        kind = "is a folder" if os.path.isdir(path) else "no such file"
        raise UserError(
            f"strategy_module {path}: {kind}: expected a Python file that registers "
            "fusion strategies"
        )
    real = os.path.realpath(path)
    for module in list(sys.modules.values()):
        # Asking some modules for an attribute would load what they stand for.
        is_module = isinstance(module, types.ModuleType)
        file = vars(module).get("__file__") if is_module else None
        if isinstance(file, str) and os.path.realpath(file) == real:
            return module
    # Two files of one name are two modules.
    digest = hashlib.sha256(os.fsencode(real)).hexdigest()[:8]
    name = f"{pathlib.Path(path).stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, real)
    if spec is None or spec.loader is None:
        raise UserError(f"strategy_module {path}: expected a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _reason(error: BaseException, path: str) -> str:
    """Returns what went wrong in one line, with the last line of the user's file."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if path and os.path.realpath(frame.filename) == os.path.realpath(path)
    ]
    where = f"line {lines[-1]}: " if lines else ""
    said = next(iter(str(error).strip().splitlines()), "")
    return f"{where}{type(error).__name__}{': ' if said else ''}{said}"
