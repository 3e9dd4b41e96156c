"""Backends: everything about one technology in one folder, reached by URL and imported only when asked for."""

import difflib
from typing import Any
from urllib.parse import urlsplit

from catga.clock import Clock
from catga.errors import ConfigurationError, UnknownBackend


def backend_of(role: str, given: Any, clock: Clock, mistakes: list[ConfigurationError]) -> Any:
    """The object behind what an app was given as its store or transport: that object, or what its URL names. What is
    wrong with a URL is added to the mistakes."""
    try:
        return open_backend(role, given, clock)
    except ConfigurationError as error:
        mistakes.append(error)
        return None


def open_backend(role: str, given: Any, clock: Clock) -> Any:
    """The store or transport (`role`) of a URL's technology, or what was given in its place; `UnknownBackend` names the extra
    to install.

    Third parties add technologies through the entry point group `catga.backends`: a module with `store(url, clock)` and
    `transport(url, clock)`.
    """
    if not isinstance(given, str):
        return given
    from importlib.metadata import entry_points  # a sixth of what importing catga would cost

    scheme = urlsplit(given).scheme
    known = {entry.name: entry for entry in entry_points(group="catga.backends")}
    if scheme not in known:
        near = difflib.get_close_matches(scheme, known, 1)
        hint = f"did you mean {near[0]}://? " if near else ""
        raise UnknownBackend(
            f"no backend for {given!r}",
            where=f"{role}=",
            why=f"known are: {', '.join(f'{name}://' for name in sorted(known))}",
            fix=f"{hint}use one of these, or install the package that brings {scheme or 'it'}://",
        )
    try:
        module = known[scheme].load()
    except ImportError as error:
        raise UnknownBackend(
            f"the {scheme} backend cannot be imported",
            where=f"{role}=",
            why=str(error),
            fix=f"pip install 'catga[{scheme}]'",
        ) from error
    make = getattr(module, role, None)
    if make is None:
        raise UnknownBackend(
            f"{scheme}:// cannot be a {role}", where=f"{role}=", fix="see the table of backends in the docs"
        )
    return make(given, clock)
