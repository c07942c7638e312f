"""Finds what a user means by a name: in any case, with - or _, or misspelt."""

import difflib
from collections.abc import Collection, Iterable
from typing import TypeVar

from densefuse_tf.errors import UserError

_Text = TypeVar("_Text", bound=str)


def find(name: str, known: Iterable[_Text]) -> _Text | None:
    """Returns the known name that is written so, in any case and with - or _.

    None where there is none, or several of which none is written exactly so.
    """
    alike = [each for each in known if _plain(each) == _plain(name)]
    found = [each for each in alike if each == name] or alike
    return found[0] if len(found) == 1 else None


def spelled(names: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """Returns names as `find` finds them, and those that it does not find as given."""
    return tuple(find(name, known) or name for name in names)


def pick(name: str, known: Iterable[_Text], what: str) -> _Text:
    """Returns the known name that `find` finds.

    Args:
      name: What the user gave.
      known: The names that there are.
      what: How the error begins: "unknown strategy 'adition'".

    Raises:
      UserError: There is none; says which there are, and which one is near.
    """
    known = list(known)
    found = find(name, known) if isinstance(name, str) else None
    if found is None:
        raise UserError(
            f"{what}: expected one of {', '.join(known)}{did_you_mean(name, known)}"
        )
    return found


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Returns the end of an error that names the nearest name; "" if none is near."""
    near = nearest(str(name), known)
    return "" if near is None else f"; did you mean {near}?"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Returns the name that is nearest; None if none is near."""
    plain = {_plain(each): each for each in known}
    near = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.65)
    return plain[near[0]] if near else None


def _plain(name: str) -> str:
    return name.strip().casefold().replace("-", "_")
