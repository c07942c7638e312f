"""The rooms of the package: imports go down only, never in a circle; its messages."""

import ast
import errno
import functools
import os
import pathlib
import re

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / "densefuse_tf"
# The rooms from the bottom to the top. Those of one row may import each other in one
# direction.
FLOORS = (
    ("errors",),
    (
        *("extras", "compiling", "lambdas", "loopback", "naming", "setting", "startup"),
        "user_modules",
    ),
    ("io",),
    ("metrics", "model"),
    ("baselines", "registration"),
    ("fusion",),
    ("evaluation", "pipelines", "serving", "training"),
    ("cameras", "demo"),
    ("commands",),
)
# What the floors alone would allow.
FORBIDDEN = {
    ("metrics", "model"),
    ("model", "metrics"),
    ("registration", "model"),
    ("registration", "baselines"),
    ("baselines", "registration"),
    # Files are scored without the paper's table.
    ("evaluation", "evaluation.table2"),
}
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def module_of(path: pathlib.Path) -> str:
    """Names a file within the package: io/images.py is io.images."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    if module.startswith("evaluation.table2"):
        return "evaluation.table2"
    return module.partition(".")[0]


def floor_of(module: str) -> int:
    return FLOOR_OF[module.partition(".")[0]]


@functools.cache
def trees() -> dict[str, ast.Module]:
    """The syntax of each module, but for the package's own __init__."""
    found = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
    return {
        name: ast.parse(path.read_text(encoding="utf-8"))
        for name, path in found.items()
        if name
    }


def imported(tree: ast.Module) -> set[str]:
    """The modules that one imports: at its top, in functions, and for types alone."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name the package"
            # What is imported from a package may be a module of it.
            names = [f"{node.module}.{each.name}" for each in node.names]
            names = [n for n in names if inside(n) in trees()] or [node.module]
        else:
            continue
        found |= {inside(name) for name in names} & trees().keys()
    return found


def inside(name: str | None) -> str:
    """The name within the package; empty for another one."""
    package, _, rest = (name or "").partition(".")
    return rest if package == PACKAGE.name else ""


@functools.cache
def graph() -> dict[str, set[str]]:
    return {name: imported(tree) for name, tree in trees().items()}


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """Returns a circle of a graph, empty where there is none."""
    done: set[str] = set()

    def follow(name: str, way: list[str]) -> list[str]:
        if name in way:
            return way[way.index(name) :]
        if name in done:
            return []
        for other in sorted(arrows.get(name, ())):
            if found := follow(other, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in arrows if (found := follow(name, []))), [])


def test_each_module_is_in_a_room():
    assert {name.partition(".")[0] for name in trees()} == set(FLOOR_OF)


def test_no_import_goes_up():
    wrong = [
        f"{name} imports {other}"
        for name, others in graph().items()
        for other in sorted(others)
        if floor_of(other) > floor_of(name)
        or (room_of(name), room_of(other)) in FORBIDDEN
    ]
    assert wrong == []


def test_no_imports_form_a_circle():
    assert circle(graph()) == []
    rooms: dict[str, set[str]] = {}
    for name, others in graph().items():
        mine = room_of(name)
        rooms.setdefault(mine, set()).update(map(room_of, others))
        rooms[mine].discard(mine)
    assert circle(rooms) == []


def test_the_look_for_circles_finds_one():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("name", [n for n in trees() if room_of(n) != "commands"])
def test_the_library_prints_nothing_and_reads_no_surroundings(name):
    wrong = []
    for node in ast.walk(trees()[name]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            wrong += ["print"] * (node.func.id == "print")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            what = f"{node.value.id}.{node.attr}"
            wrong += [what] * (what in {"os.environ", "os.getcwd", "os.getenv"})
        elif isinstance(node, ast.ImportFrom):
            wrong += ["flags"] * any(each.name == "flags" for each in node.names)
    # TensorFlow's log level is set, not read, where TensorFlow is imported.
    allowed = {"startup": ["os.environ"]}
    assert wrong in ([], allowed.get(name, []))


def texts() -> str:
    """The texts in the package, in lines; a bar stands where a value is put in."""
    found = []
    for tree in trees().values():
        for node in ast.walk(tree):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            values = [getattr(part, "value", None) for part in parts]
            found.append("|".join(each for each in values if isinstance(each, str)))
    return "\n".join(found)


def test_the_documents_have_the_messages_of_the_program():
    page = (PACKAGE.parent / "docs" / "errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    assert len(rows) > 20
    system = os.strerror(errno.ENOSPC), os.strerror(errno.EROFS).lower()
    said = "\n".join([texts(), *system])
    for row in rows:
        for message in re.findall("`([^`]+)`", row):
            # Between names, numbers and what is left out.
            for part in re.split(r"\.\.\.|\.\[\w+\]|[\dx]*\d|\b[A-Z]+\b", message):
                words = part if len(part) > 3 else ""
                assert words in said, f"{message}: {words!r}"
