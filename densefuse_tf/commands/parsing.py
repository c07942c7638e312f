"""Reads a command line into flags, and says in a command's own words what is wrong."""

import itertools
import os
import re
from collections.abc import Sequence

from absl import flags

from densefuse_tf import naming
from densefuse_tf.errors import UserError
from densefuse_tf.io import files


def parse(
    argv: Sequence[str], flag_values: flags.FlagValues, *, takes_files: bool
) -> list[str]:
    """Parses the command's name and its arguments; returns those that are no flags.

    Raises:
      UserError: There is one though the command takes no files, or a flag is given
        twice.
      flags.Error: A flag is unknown, or has another value than it takes; see `told`.
    """
    for argument, after in itertools.zip_longest(argv[1:], argv[2:], fillvalue=""):
        # A script with the line ends of Windows has them in its values.
        if argument.endswith("\r"):
            raise UserError(
                f"{argument!r} ends in a carriage return: expected none; save the "
                "script with the line ends of Unix"
            )
        flag, is_whole, path = argument.partition("=")
        path = os.path.expanduser(path if is_whole else after)
        if path and re.fullmatch("--?flagfile", flag, re.IGNORECASE):
            # absl would wait for the other end of a pipe.
            files.open_to_read(path, "a file of flags").close()
    rest = flag_values(_spelled(argv, flag_values))[1:]
    if rest and not takes_files:
        command = os.path.basename(argv[0])
        raise UserError(f"unexpected argument {rest[0]!r}: see {command} --help")
    _refuse_repeated(flag_values)
    return rest


def told(error: Exception, flag_values: flags.FlagValues, command: str) -> str:
    """Returns the line that tells of a mistake in the flags, or in what they name."""
    line = _wrong_flag(error, flag_values, command)
    return _with_flags(str(error), flag_values) if line is None else line


def _refuse_repeated(flag_values: flags.FlagValues) -> None:
    """Refuses a flag that is given twice; absl takes its last value without a word."""
    for name in flag_values:
        flag = flag_values[name]
        if flag.present > 1 and not isinstance(flag, flags.MultiFlag):
            raise UserError(f"--{name} is given {flag.present} times: expected once")


def _names(flag_values: flags.FlagValues) -> list[str]:
    """Returns the names of all flags, and of switches that with no before it."""
    switches = (name for name in flag_values if flag_values[name].boolean)
    return [*flag_values, *(f"no{name}" for name in switches)]


def _spelled(argv: Sequence[str], flag_values: flags.FlagValues) -> list[str]:
    """Spells flags as they are defined, those in another case or with - for _."""
    known = _names(flag_values)
    spelled = list(argv)
    for index, argument in enumerate(argv[1:], 1):
        if argument == "--":
            break
        found = re.fullmatch(r"(?is)--?(no[-_])?([A-Za-z][\w-]*)(=.*)?", argument)
        # What names no flag may be the value of the one before it.
        if found and (name := naming.find((found[1] or "")[:2] + found[2], known)):
            value = found[3] or ""
            spelled[index] = f"--{name}{value}"
            if value and name not in flag_values:
                raise UserError(f"--{name}{value}: expected --{name} alone")
    return spelled


def _wrong_flag(
    error: Exception, flag_values: flags.FlagValues, command: str
) -> str | None:
    """Returns the line for an unknown flag, or for one of another type.

    absl's quotes Python's own error.
    """
    if isinstance(error, flags.UnrecognizedFlagError):
        known = [*_names(flag_values), "help", "version"]
        near = naming.nearest(error.flagname, known)
        meant = "" if near is None else f"; did you mean --{near}?"
        return f"--{error.flagname}: unknown flag: see {command} --help{meant}"
    missing = r"Missing value for flag --?(\w+)|--(flagfile) with no argument"
    if found := re.fullmatch(missing, str(error)):
        name = found[1] or found[2]
        return f"--{name}: has no value: expected --{name}=VALUE"
    said = re.fullmatch(r"(?s)flag --(\w+)=(.*?): .*", str(error))
    if said is None or not isinstance(error, flags.IllegalFlagValueError):
        return None
    name, value = said.groups()
    parser = flag_values[name].parser
    if isinstance(parser, flags.BooleanParser):
        expected = "true or false"
    elif isinstance(parser, flags.EnumParser):
        expected = f"one of {', '.join(parser.enum_values)}"
        expected += naming.did_you_mean(value, parser.enum_values)
    else:
        expected = parser.syntactic_help
    return f"--{name}={value}: expected {expected}" if expected else None


def _with_flags(line: str, flag_values: flags.FlagValues) -> str:
    """Names the flags of settings: a library says num_images for --num_images.

    Names of one word may as well be words, but where a line starts with a wrong value.
    """
    # Without any flag the empty alternative would match everywhere.
    every = "|".join(flag_values) or "(?!)"
    line = re.sub(rf"^(?=({every}) is ['\"])", "--", line)
    names = "|".join(name for name in flag_values if "_" in name) or "(?!)"
    return re.sub(rf"(?<![\w./=-])({names})(?![\w/=-]|\.\w)", r"--\1", line)
