"""Scripts: each is one step for everybody else; the server keeps their text and is asked by its hash."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import msgspec
from redis.exceptions import NoScriptError

from catga.backends.redis.link import Link

_encode = msgspec.msgpack.Encoder().encode
_FOLDER = files("catga.backends.redis") / "lua"


class Script:
    """Of files in `lua`, one behind the other. One that `frees` runs also where memory is full."""

    def __init__(self, *names: str, frees: bool = False, reads: bool = False) -> None:
        flags = ["allow-oom"] * frees + ["no-writes"] * reads
        texts = [f"#!lua flags={','.join(flags)}\n"]
        texts += [(_FOLDER / f"{name}.lua").read_text("utf-8") for name in ("common", *names)]
        self.text: bytes = "".join(texts).encode()
        self.hash: str = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()

    async def __call__(self, link: Link, *arguments: Any, words: Sequence[bytes] = ()) -> Any:
        """Its answer. `arguments` are what it calls `A`; bytes in them are numbers of `words`: see `word`."""
        packed = _encode(arguments)
        tag = f"{{{link.options.prefix}}}"
        try:
            return await link.ask("EVALSHA", self.hash, 1, tag, packed, *words)
        except NoScriptError:
            # The server was started anew. Nothing was run.
            return await link.ask("EVAL", self.text, 1, tag, packed, *words)


def word(words: list[bytes], *more: bytes) -> int:
    """Adds to the words; the number by which the first of these is found in a script."""
    words += more
    return len(words) - len(more) + 2


COMMIT = Script("parked", "commit")
CLAIM = Script("claim")
LEASES = Script("leases", frees=True)
OUTBOX = Script("outbox", reads=True)
SENT = Script("sent", frees=True)
LOOKING = Script("parked", "looking", reads=True)
PENDING = Script("pending", reads=True)
RENAME = Script("parked", "rename")
FORGET = Script("forget", frees=True)
TRIM = Script("trim", frees=True)
