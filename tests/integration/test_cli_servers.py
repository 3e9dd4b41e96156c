"""`catga doctor` with real servers: whether they answer, what they are, whose clock is wrong."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.servers import server
from tests.unit.cli import Shell, make_shell

from catga.cli.checks import Finding
from catga.cli.servercheck import with_server
from catga.ports.server import Server
from catga.testing import run
from catga.testing.clock import VirtualClock
from catga.testing.servers import Nats


class Plain(Nats):
    """It keeps nothing."""

    def prepare(self) -> None:
        (self.folder / "nats.conf").write_text("")


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    with make_shell(tmp_path, monkeypatch) as shell:
        yield shell


def findings(shell: Shell, **backends: str) -> dict[str, Finding]:
    given = ", ".join(f"{role}={url!r}" for role, url in backends.items())
    shell.write("far.py", f"from catga import Catga\napp = Catga('far', {given})\n")
    said = json.loads(shell.run("doctor", "far:app", "--json").stdout)
    return {each["what"]: Finding(**each) for each in said}


@pytest.mark.parametrize(("name", "product"), [("postgres", "PostgreSQL 1"), ("valkey", "Valkey ")])
def test_a_store_on_a_server(shell: Shell, name: str, product: str) -> None:
    unique = f"d{uuid.uuid4().hex[:12]}"
    option = "schema" if name == "postgres" else "prefix"
    found = findings(shell, store=f"{server(name)}?{option}={unique}")
    assert product in found["store"].found
    assert (found["store"].state, "its clock is ours" in found["store"].found) == ("ok", True)
    assert "transport" not in found, "the store's own queue"


def test_a_transport_and_a_bus(shell: Shell) -> None:
    found = findings(shell, store="memory://", transport=server("nats"), bus=server("nats"))
    assert [(found[role].state, "NATS 2" in found[role].found) for role in ("transport", "bus")] == [("ok", True)] * 2


def test_servers_that_are_not_there(shell: Shell) -> None:
    found = findings(shell, store="memory://", transport="nats://127.0.0.1:1", bus="nats://127.0.0.1:1")
    assert [(found[role].state, bool(found[role].fix)) for role in ("transport", "bus")] == [("wrong", True)] * 2


def test_a_nats_without_jetstream_is_a_bus_and_no_transport(shell: Shell) -> None:
    with Plain() as own:
        found = findings(shell, store="memory://", transport=own.url, bus=own.url)
    assert (found["bus"].state, found["transport"].state) == ("ok", "wrong")
    assert "-js" in found["transport"].fix


@pytest.mark.parametrize(
    ("ahead_ms", "said"),
    [(1500, "its clock is ours"), (-1500, "its clock is ours"), (9000, "9.0 s ahead"), (-9000, "9.0 s behind")],
)
def test_a_clock_that_is_not_ours(ahead_ms: int, said: str) -> None:
    clock = VirtualClock()

    class Elsewhere:
        async def server(self) -> Server:
            return Server("Somewhere 1", clock.wall_ms() + ahead_ms)

    found = run(with_server(Finding("store", "ok", "opened"), Elsewhere(), clock))
    assert said in found.found
    assert (found.state == "warning") == (abs(ahead_ms) > 2000) == bool(found.fix)
