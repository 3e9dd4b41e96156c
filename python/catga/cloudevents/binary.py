"""Binary mode: attributes as headers, the data as the body, as HTTP and NATS carry them."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from catga.cloudevents.event import CloudEvent, bad, made

PREFIX: Final = "ce-"
CONTENT_TYPE: Final = "content-type"

_PLAIN: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_ESCAPED: Final = re.compile(r"%(?:[0-9A-Fa-f]{2})?")


def write_binary(event: CloudEvent) -> tuple[dict[str, str], bytes]:
    """(headers, body)."""
    texts = event.check().texts()
    media = texts.pop("datacontenttype", None)
    headers = {PREFIX + name: quote(text, safe=_PLAIN) for name, text in texts.items()}
    if media is not None:
        headers[CONTENT_TYPE] = media
    return headers, event.data or b""


def read_binary(headers: Iterable[tuple[str, str]], body: bytes) -> CloudEvent:
    """From pairs of names, in any case, and values, of which those that are not of the event are left alone; `BadCloudEvent` where they say
    none."""
    attributes: dict[str, str] = {}
    media: str | None = None
    for given, value in headers:
        name = given.lower()
        if name == CONTENT_TYPE:
            media = value
        elif name.startswith(PREFIX):
            if name[len(PREFIX) :] in attributes:
                raise bad(f"the header {name:.80} is there twice")
            attributes[name[len(PREFIX) :]] = _decoded(name, value)
    # HTTP has a header of its own for it, NATS has not.
    if media:
        attributes["datacontenttype"] = media
    return made(attributes, body or None)


def _decoded(name: str, value: str) -> str:
    """Without the quotes and the percents that headers need."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    if "%" not in value:
        return value
    try:
        raw = bytearray()
        last = 0
        for match in _ESCAPED.finditer(value):
            raw += value[last : match.start()].encode() + bytes.fromhex(match[0][1:])
            if len(match[0]) < 3:
                raise ValueError("a percent sign that begins nothing")
            last = match.end()
        return (bytes(raw) + value[last:].encode()).decode()
    except ValueError as error:
        raise bad(f"the header {name:.80} does not decode", str(error)) from None
