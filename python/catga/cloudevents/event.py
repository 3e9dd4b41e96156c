"""`CloudEvent`: one event with its attributes, whichever way it travels."""

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec

from catga.errors import BadCloudEvent

Value: TypeAlias = str | int | bool | bytes
"""What an extension attribute may be; an integer has 32 bits."""

NAME: Final = re.compile(r"[a-z0-9]{1,64}")
"""The specification recommends 20 characters at most, and allows more."""
MOST: Final = 64 * 1024
"""Characters of all attributes together."""
OWN: Final = frozenset({"specversion", "id", "source", "type", "datacontenttype", "dataschema", "subject", "time"})
_UNFIT: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Control characters, surrogates and noncharacters: no attribute may contain them."""


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of CloudEvents 1.0. What is not named here is one of the `extensions`; nothing of it is lost.

    >>> CloudEvent(id="1", source="/orders", type="OrderPlaced", data=b"{}").check().source
    '/orders'
    """

    id: str
    source: str
    type: str
    datacontenttype: str | None = None
    dataschema: str | None = None
    subject: str | None = None
    time: datetime | None = None
    extensions: Mapping[str, Value] = {}
    data: bytes | None = None

    def check(self) -> "CloudEvent":
        """Itself; `BadCloudEvent` where it breaks the specification."""
        for name in ("id", "source", "type"):
            if not getattr(self, name):
                raise bad(f"it has no {name}")
        for name in ("datacontenttype", "dataschema", "subject"):
            if getattr(self, name) == "":
                raise bad(f"{name} is empty")
        if self.time is not None and self.time.tzinfo is None:
            raise bad("time has no time zone")
        for name, value in self.extensions.items():
            if name in OWN or name == "data" or NAME.fullmatch(name) is None:
                raise bad(f"{name!r:.80} cannot be the name of an extension")
            if isinstance(value, int) and not isinstance(value, bool) and not -(2**31) <= value < 2**31:
                raise bad(f"{name} is no integer of 32 bits")
        texts = self.texts()
        if sum(len(name) + len(text) for name, text in texts.items()) > MOST:
            raise bad(f"its attributes have more than {MOST:,} characters")
        for name, text in texts.items():
            if _UNFIT.search(text):
                raise bad(f"{name} has characters that are not allowed")
        return self

    def texts(self) -> dict[str, str]:
        """Every attribute that it has, in its canonical text."""
        given: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "datacontenttype": self.datacontenttype,
            "dataschema": self.dataschema,
            "subject": self.subject,
            "time": None if self.time is None else stamp(self.time),
            **self.extensions,
        }
        return {name: text_of(value) for name, value in given.items() if value is not None}


def text_of(value: Value) -> str:
    """The canonical text of an attribute."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def stamp(time: datetime) -> str:
    """As RFC 3339 writes it."""
    offset = time.utcoffset()
    # Zones of long ago had seconds, of which RFC 3339 knows nothing.
    if offset is not None and offset.seconds % 60:
        time = time.astimezone(UTC)
    return time.isoformat().replace("+00:00", "Z")


def parsed(time: str) -> datetime:
    """From RFC 3339."""
    try:
        found = msgspec.convert(time, datetime)
    except (msgspec.ValidationError, ValueError):
        raise bad(f"time {time!r:.80} is not of RFC 3339") from None
    if found.tzinfo is None:
        raise bad(f"time {time!r:.80} has no time zone")
    return found


def made(attributes: dict[str, Any], data: bytes | None) -> CloudEvent:
    """From attributes as they were read; those that are not of the specification are extensions."""
    version = attributes.pop("specversion", None)
    if version != "1.0":
        raise bad(f"its specversion is {version!r:.80}", "1.0 is known here")
    own = {name: attributes.pop(name) for name in OWN & set(attributes)}
    for name, value in own.items():
        if not isinstance(value, str):
            raise bad(f"{name} is no text")
    if (time := own.get("time")) is not None:
        own["time"] = parsed(time)
    for name in ("id", "source", "type"):
        own.setdefault(name, "")
    return CloudEvent(**own, extensions=attributes, data=data).check()


def bad(why: str, more: str = "") -> BadCloudEvent:
    """What an event is refused with."""
    return BadCloudEvent(
        "this is no event of CloudEvents 1.0", why=f"{why}; {more}" if more else why, fix="mend its sender"
    )
