"""The options in a backend's URL: a struct says what there is, and all mistakes are named at once."""

from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from catga.errors import ConfigurationError

S = TypeVar("S", bound=msgspec.Struct)

Seconds = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
"""A duration: above nothing, and no more than fits into a timer."""
Positive = Annotated[int, msgspec.Meta(gt=0)]
"""A count that is not zero."""


def from_query(kind: type[S], url: str, query: str, **known: Any) -> S:
    """`kind` made from what the rest of the URL says (`known`) and the options of its query, which are its other
    fields. Text that is compared with fixed words may be written in any case."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind) if field.name not in known}
    values = dict(known)
    mistakes: list[str] = []
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in fields:
            mistakes.append(f"{name}: unknown")
        elif name in values:
            mistakes.append(f"{name}: given twice")
        else:
            try:
                values[name] = _value(text, fields[name])
            except msgspec.ValidationError as error:
                mistakes.append(f"{name}={text}: {error}")
    if mistakes:
        raise ConfigurationError(
            f"wrong options: {', '.join(mistakes)}",
            where=url,
            fix=f"known are: {', '.join(fields)}" if fields else "it has none",
        )
    return kind(**values)


def _value(text: str, wanted: Any) -> Any:
    try:
        return msgspec.convert(text, wanted, strict=False)
    except msgspec.ValidationError:
        return msgspec.convert(text.upper(), wanted, strict=False)
