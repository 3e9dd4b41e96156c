"""`module:app` as an app: found, or told what was found instead."""

import difflib
import importlib
import os
import pkgutil
import sys
import traceback
from types import ModuleType

from catga.app import Catga
from catga.errors import CatgaError, ConfigurationError, UnknownMessageType
from catga.explanation import find_message
from catga.messages import Message


class UsageError(ConfigurationError):
    """The command was asked for something that is not there."""

    @classmethod
    def of(cls, error: CatgaError) -> "UsageError":
        """An error that is the asker's, with its own code and words."""
        mistake = cls(error.what, where=error.where, why=error.why, fix=error.fix)
        mistake.__dict__["code"] = error.code
        return mistake


def load(target: str) -> Catga:
    """The app; the current directory is looked in first, as `python -m` does."""
    name, _, attribute = target.partition(":")
    if not name:
        raise UsageError(f"{target!r} names no module", fix="write module:app, as in orders:app")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module = _import(name)
    return _attribute(module, attribute) if attribute else _only(module)


def message_type(app: Catga, name: str) -> type[Message]:
    """The message type of a name given on the command line."""
    try:
        return find_message(app, name)
    except UnknownMessageType as error:
        raise UsageError.of(error) from error


def _import(name: str) -> ModuleType:
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise _broken(name, error) from error
        raise UsageError(
            f"there is no module {name!r}",
            why=f"{error.name!r} is neither in {os.getcwd()} nor installed",
            fix=_did_you_mean(error.name, _modules(error.name)) or "go to the folder that holds it, or install it",
        ) from error
    except Exception as error:
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> UsageError:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    if isinstance(error, SyntaxError):
        where = f"{error.filename}:{error.lineno}"
    why = f"{type(error).__name__}: {error}"
    return UsageError(f"the module {name!r} cannot be imported", where=where, why=why, fix="mend it there")


def _attribute(module: ModuleType, attribute: str) -> Catga:
    found: object = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            apps = _apps(module)
            near = _did_you_mean(part, [*apps, *(name for name in vars(found) if not name.startswith("_"))])
            why = f"its apps are: {', '.join(apps)}" if apps else "there is no app in it"
            fix = near or (f"name {module.__name__}:{apps[0]}" if apps else f"write `{part} = Catga(…)` there")
            raise UsageError(f"{module.__name__} has no {attribute!r}", where=module.__file__ or "", why=why, fix=fix)
        found = getattr(found, part)
    if not isinstance(found, Catga):
        apps = _apps(module)
        raise UsageError(
            f"{module.__name__}:{attribute} is no app but {type(found).__name__}",
            where=module.__file__ or "",
            fix=f"name {module.__name__}:{apps[0]}" if apps else "name a Catga(…) of that module",
        )
    return found


def _only(module: ModuleType) -> Catga:
    apps = _apps(module)
    if len(apps) == 1:
        app: Catga = getattr(module, apps[0])
        return app
    raise UsageError(
        f"{module.__name__} has {len(apps) or 'no'} apps" if apps else f"there is no app in {module.__name__}",
        where=module.__file__ or "",
        why=f"they are: {', '.join(apps)}" if apps else "",
        fix=f"name one: {module.__name__}:{apps[0]}" if apps else "write `app = Catga(…)` there",
    )


def _apps(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if isinstance(value, Catga)]


def _modules(missing: str) -> list[str]:
    parent, _, _ = missing.rpartition(".")
    if not parent:
        return [found.name for found in pkgutil.iter_modules([os.getcwd()])]
    paths = getattr(sys.modules.get(parent), "__path__", ())
    return [f"{parent}.{found.name}" for found in pkgutil.iter_modules(paths)]


def _did_you_mean(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, dict.fromkeys(known), 2)
    return f"did you mean {' or '.join(near)}?" if near else ""
