"""Checks made from annotations: a quick test in generated code, and a slow one that says what is wrong.

The quick one may refuse what is right (a subclass of str, say) but never passes what is wrong; the slow one decides.
"""

import collections.abc
import datetime
import decimal
import enum
import functools
import linecache
import types
import typing
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec

SIMPLE: Final[frozenset[Any]] = frozenset(
    {str, int, bool, bytes, bytearray, types.NoneType, uuid.UUID, decimal.Decimal}
    | {datetime.datetime, datetime.date, datetime.time, datetime.timedelta}
)
COLLECTIONS: Final = (list, set, frozenset)
# Kept as they are when msgspec is asked about a value: they need no conversion to be looked at.
NATIVE: Final = (
    bytes,
    bytearray,
    uuid.UUID,
    decimal.Decimal,
    datetime.datetime,
    datetime.date,
    datetime.time,
    datetime.timedelta,
)

Check = Callable[[Any], bool]


class Problem(msgspec.Struct, frozen=True):
    """The first part of a value that is not as declared; never the value itself."""

    path: str
    found: str
    expected: str


def quick_check(cls: type[Any]) -> Check:
    """A compiled test of all fields of a struct class."""
    return _Compiler().struct(cls)


class _Compiler:
    """Writes one function for each struct class; they call each other, so that a class may hold itself."""

    def __init__(self) -> None:
        self._names: dict[str, Any] = {}
        self._structs: dict[type[Any], str] = {}

    def struct(self, cls: type[Any]) -> Check:
        return self._names[self._struct(cls)]  # type: ignore[no-any-return]

    def _struct(self, cls: type[Any]) -> str:
        if cls not in self._structs:
            name = self._structs[cls] = f"check_{len(self._structs)}"
            tests = [self._test(field.type, f"m.{field.name}", 0) for field in msgspec.structs.fields(cls)]
            source = f"def {name}(m):\n    return {' and '.join(test for test in tests if test != 'True') or 'True'}\n"
            filename = f"<catga check of {cls.__module__}.{cls.__qualname__}>"
            linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
            exec(compile(source, filename, "exec"), self._names)  # noqa: S102 - names of fields, which are identifiers
        return self._structs[cls]

    def _test(self, annotation: Any, value: str, depth: int) -> str:
        if annotation in (Any, object):
            return "True"
        classes = _classes(annotation)
        if classes is not None:
            return self._class_test(classes, f"{value}.__class__")
        origin, args = get_origin(annotation), get_args(annotation)
        if origin in COLLECTIONS or (origin is tuple and args[1:] == (...,)):
            return f"{value}.__class__ is {origin.__name__} and {self._each(args[0], value, depth)}"
        if origin is tuple:
            parts = [self._test(arg, f"{value}[{index}]", depth) for index, arg in enumerate(args)]
            return " and ".join([f"{value}.__class__ is tuple and len({value}) == {len(args)}", *parts])
        if origin is dict:
            keys, values = self._each(args[0], value, depth), self._each(args[1], f"{value}.values()", depth)
            return f"{value}.__class__ is dict and {keys} and {values}"
        if origin in (Union, types.UnionType):
            return f"({' or '.join(f'({self._test(arg, value, depth)})' for arg in args)})"
        if _is_struct(annotation):
            return f"{value}.__class__ is {self._name(annotation)} and {self._struct(annotation)}({value})"
        return f"{self._name(functools.partial(_fits, annotation))}({value})"

    def _each(self, annotation: Any, values: str, depth: int) -> str:
        classes = _classes(annotation)
        if classes is not None:
            return f"{self._name(frozenset(classes))}.issuperset(map(type, {values}))"
        test = self._test(annotation, f"v{depth}", depth + 1)
        return "True" if test == "True" else f"all([{test} for v{depth} in {values}])"

    def _class_test(self, classes: list[Any], found: str) -> str:
        if len(classes) == 1:
            return f"{found} is {self._name(classes[0])}"
        return f"{found} in {self._name(frozenset(classes))}"

    def _name(self, value: Any) -> str:
        if isinstance(value, type) and value.__module__ == "builtins" and value is not types.NoneType:
            return value.__name__
        name = f"n{len(self._names)}"
        self._names[name] = value
        return name


def find_problem(value: Any, annotation: Any, path: str) -> Problem | None:
    """The first part of `value` that is not what `annotation` says, or None."""
    if annotation in (Any, object):
        return None
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return (
            None if any(find_problem(value, arg, path) is None for arg in args) else _problem(value, annotation, path)
        )
    if not _is_instance(value, annotation):
        return _problem(value, annotation, path)
    if origin in COLLECTIONS or (origin is tuple and args[1:] == (...,)):
        return _first((item, args[0], f"{path}[{index}]") for index, item in enumerate(value))
    if origin is tuple:
        if len(value) != len(args):
            return _problem(value, annotation, path)
        return _first(
            (item, arg, f"{path}[{index}]") for index, (item, arg) in enumerate(zip(value, args, strict=True))
        )
    if origin is dict:
        # By position: a key is a value of the message too, and must not be told.
        keys = ((key, args[0], f"{path}, key {index}") for index, key in enumerate(value))
        return _first(keys) or _first(
            (item, args[1], f"{path}, value {index}") for index, item in enumerate(value.values())
        )
    if _is_struct(annotation):
        return struct_problem(value, f"{path}.")
    return None if annotation in SIMPLE or _fits(annotation, value) else _problem(value, annotation, path)


def struct_problem(struct: msgspec.Struct, prefix: str = "") -> Problem | None:
    """The first field that is not as its class declares."""
    fields = msgspec.structs.fields(struct)
    return _first((getattr(struct, field.name), field.type, f"{prefix}{field.name}") for field in fields)


def _first(parts: collections.abc.Iterable[tuple[Any, Any, str]]) -> Problem | None:
    return next((problem for part in parts if (problem := find_problem(*part)) is not None), None)


def _problem(value: Any, annotation: Any, path: str) -> Problem:
    expected = annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
    return Problem(path, type(value).__name__, expected.replace("typing.", ""))


def _classes(annotation: Any) -> list[Any] | None:
    """The exact classes a value may have, where that is all there is to say."""
    if annotation is None:
        return [types.NoneType]
    if annotation is float:
        return [float, int]
    if annotation in SIMPLE or (isinstance(annotation, type) and issubclass(annotation, enum.Enum)):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType):
        found = [_classes(arg) for arg in get_args(annotation)]
        return None if None in found else [cls for classes in found if classes is not None for cls in classes]
    return None


def _is_struct(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)


def _is_instance(value: Any, annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _is_instance(value, get_args(annotation)[0])
    cls = type(None) if annotation is None else origin or annotation
    if typing.is_typeddict(cls):
        cls = dict
    if not isinstance(cls, type):
        return True
    if cls is int and isinstance(value, bool):
        return False
    return isinstance(value, (float, int) if cls is float else cls)


def _fits(annotation: Any, value: Any) -> bool:
    """What only msgspec can tell: constraints, literals, typed dicts, other classes."""
    if not _is_instance(value, annotation):
        return False
    try:
        msgspec.convert(msgspec.to_builtins(value, builtin_types=NATIVE), annotation, builtin_types=NATIVE)
    except (msgspec.ValidationError, TypeError, ValueError):
        return False
    return True
