"""Imports a user's own module, which registers fusion strategies or methods."""

import hashlib
import importlib
import importlib.util
import os
import pathlib
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from densefuse_tf.errors import UserError


class Kind(NamedTuple):
    """Says what a module is to register.

    Attributes:
      setting: The setting that names the module.
      singular: What it registers.
      plural: Several of these.
      form: What stands in such a module.
      registered: Returns all that is registered by name, with its `__module__`.
    """

    setting: str
    singular: str
    plural: str
    form: str
    registered: Callable[[], Mapping[str, Any]]


def load(module: str | os.PathLike, kind: Kind) -> tuple[str, ...]:
    """Imports a module.

    A module that is imported already, under whatever name, is not run again.

    Args:
      module: A file that ends in .py, or the dotted name of a module that Python
        finds.
      kind: Says what it is to register.

    Returns:
      The names of what the module registers, in order.

    Raises:
      UserError: There is no such module, it cannot be imported, it takes a name that is
        there already, or it registers nothing.
    """
    module = os.fspath(module)
    before = set(kind.registered())
    try:
        find = _of_file if _is_file(module) else _of_name
        imported = find(module, kind)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{kind.setting} {module}: cannot be imported: {reason(error, module)}"
        ) from error
    own = tuple(
        name
        for name, what in kind.registered().items()
        if name not in before or getattr(what, "__module__", None) == imported.__name__
    )
    if not own:
        raise UserError(
            f"{kind.setting} {module}: registers no {kind.singular}: expected "
            f"{kind.form}"
        )
    return own


def path_of(module: str | os.PathLike) -> pathlib.Path:
    """Returns the file of a module that `load` has imported.

    Such a file stands for the module in other processes and folders.
    """
    module = os.fspath(module)
    path = module if _is_file(module) else sys.modules[module].__file__
    return pathlib.Path(path or module).absolute()


def origin(registered: Any) -> tuple[Any, Any]:
    """Returns where something is defined: one defined there anew replaces it."""
    name = getattr(registered, "__qualname__", registered)
    return getattr(registered, "__module__", None), name


def reason(error: BaseException, path: str) -> str:
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


def _is_file(module: str) -> bool:
    return module.endswith(".py") or os.sep in module


def _of_name(name: str, kind: Kind) -> types.ModuleType:
    # What is on the way to a module may be missing as well as the module.
    try:
        is_found = importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        is_found = False
    if not is_found:
        raise UserError(
            f"{kind.setting} {name}: no such module: expected a file that ends in "
            ".py, or a module that is installed or in a folder of PYTHONPATH"
        )
    return importlib.import_module(name)


def _of_file(path: str, kind: Kind) -> types.ModuleType:
    if not os.path.isfile(path):
        found = "is a folder" if os.path.isdir(path) else "no such file"
        raise UserError(
            f"{kind.setting} {path}: {found}: expected a Python file that registers "
            f"{kind.plural}"
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
        raise UserError(f"{kind.setting} {path}: expected a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
