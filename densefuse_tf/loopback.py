"""Says which requests a page answers that is served to this machine alone."""

import urllib.parse

# The loopback addresses that a name of this machine may be, through ssh for instance.
_NAMES = {"localhost", "127.0.0.1", "::1"}


def refusal(host: str, origin: str | None, bound_to: str) -> str | None:
    """Returns why a request is not answered, or None.

    A web site of another name that a rebound DNS entry leads here has that name as its
    Host, and what another page sends has that page's Origin.

    Args:
      host: The request's Host header; "" if it has none.
      origin: Its Origin header, if any.
      bound_to: The address that the page is served at.
    """
    if _host_name(host) not in _NAMES | {bound_to.lower()}:
        return f"this page is not at {host!r}: open it by the address it printed"
    if origin is not None:
        if urllib.parse.urlsplit(origin).netloc.lower() != host.lower():
            return f"another page, {origin}, may not ask anything of this one"
    return None


def _host_name(host: str) -> str | None:
    """Returns the name in a Host header, without its port."""
    try:
        return urllib.parse.urlsplit(f"//{host}").hostname
    except ValueError:
        return None
