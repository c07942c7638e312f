"""Runs commands in this process."""

from collections.abc import Callable

import pytest

Ended = tuple[int, str, str]


@pytest.fixture
def ended(capsys) -> Callable[..., Ended]:
    """Runs a command's module with flags; returns its status, output and errors."""

    def call(command, *arguments: str) -> Ended:
        status = command.run([_script(command), *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def mistake(command, ended: Ended) -> str:
    """The one line of a run that ended with status 2."""
    status, _, errors = ended
    assert status == 2
    assert "Traceback" not in errors
    start = f"{_script(command)}: "
    (line,) = [line for line in errors.splitlines() if line.startswith(start)]
    return line


def _script(command) -> str:
    return f"{command.__name__.rpartition('.')[2]}.py"
