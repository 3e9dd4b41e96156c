"""Lines about processes: for people on stderr, or one JSON object a line on stdout."""

import sys
from typing import Any

import msgspec


class Report:
    """Says what happens to a supervisor and its workers; each line is written at once, so that lines never mix."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def say(self, event: str, text: str, **fields: Any) -> None:
        """`text` for people; `event` and `fields` for machines."""
        if self._as_json:
            sys.stdout.write(msgspec.json.encode({"event": event, **fields, "text": text}).decode() + "\n")
            sys.stdout.flush()
        else:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
