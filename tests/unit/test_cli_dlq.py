"""`catga dlq`: what is shown, and the ways back."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli import Shell, make_shell

from catga.deadletters import DeadLetters
from catga.ports.store import Parked, ParkedState, Unit

STORE = "sqlite:///work.db"

APP = f"""
from catga import Catga, Command, Retry

class Work(Command, key="name"):
    name: str
    amount: float = 1.5

app = Catga("work", store="{STORE}", retry=Retry(delayed=0))

@app.handler(Work, id="worker")
async def work(cmd: Work) -> None:
    raise ValueError(f"cannot do {{cmd.name}}")
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    with make_shell(tmp_path, monkeypatch) as shell:
        shell.write("work.py", APP)
        yield shell


@pytest.fixture
def dead(shell: Shell) -> list[dict[str, Any]]:
    """Two dead letters, as the list shows them."""
    for name in ("a", "b"):
        shell.ok("send", "--enqueue", "Work", f'{{"name": "{name}"}}', "work:app")
    work()
    found = shell.json("dlq", "list", "work:app")
    assert len(found) == 2
    return found  # type: ignore[no-any-return]


def work(count: int = 2) -> None:
    """Runs the app until that many have died."""

    async def run() -> None:
        app = sys.modules["work"].app
        async with app, asyncio.timeout(30):
            while app.statistics()["dead"] < count:  # noqa: ASYNC110 - counts are read, never pushed
                await asyncio.sleep(0.005)

    asyncio.run(run())


def park(*rows: Parked) -> None:
    async def put() -> None:
        async with DeadLetters.open(STORE) as letters:
            await letters._store.commit([Unit(park=rows)])

    asyncio.run(put())


def test_list(shell: Shell, dead: list[dict[str, Any]]) -> None:
    # Of two keys, either may have died first.
    assert {(each["message"], each["handler"], each["failures"], each["reason"]) for each in dead} == {
        ("Work", "worker", 1, "ValueError: cannot do a"),
        ("Work", "worker", 1, "ValueError: cannot do b"),
    }
    told = shell.ok("dlq", "list", "work:app")
    assert dead[0]["id"] in told
    assert "cannot do b" in told
    assert shell.json("dlq", "list", "--store", STORE) == dead
    assert shell.json("dlq", "list", "work:app", "--handler", "nobody") == []
    assert len(shell.json("dlq", "list", "work:app", "-n", "1")) == 1


def test_list_reads_no_payload(shell: Shell) -> None:
    park(Parked("worker", bytes(16), "work", 0, None, ParkedState.DEAD, 0, b"no frame at all", reason="why"))
    (found,) = shell.json("dlq", "list", "--store", STORE) if Path("work.db").exists() else ({},)
    assert (found["message"], found["reason"]) == ("(no frame)", "why")
    (shown,) = shell.json("dlq", "show", "00", "--store", STORE)
    assert shown["payload"] == {"bytes": b"no frame at all".hex()}


@pytest.mark.parametrize("whole", [True, False])
def test_show(shell: Shell, dead: list[dict[str, Any]], whole: bool) -> None:
    wanted = dead[0]
    name = wanted["key"]
    where = ("work:app",) if whole else ("--store", STORE)
    (shown,) = shell.json("dlq", "show", wanted["id"], *where)
    assert shown["payload"] == {"name": name, "amount": 1.5}
    (failure,) = shown["history"]
    assert (failure["type"], failure["what"], failure["attempt"]) == ("ValueError", f"cannot do {name}", 1)
    assert "work.py" in failure["trace"]
    told = shell.ok("dlq", "show", wanted["id"], *where)
    assert "Traceback" in told
    assert '"amount": 1.5' in told


def test_the_beginning_of_an_id_is_enough_where_it_is_one(shell: Shell, dead: list[dict[str, Any]]) -> None:
    first, second = (each["id"] for each in dead)
    same = next(length for length in range(32) if first[:length] != second[:length])
    (shown,) = shell.json("dlq", "show", first[:same], "work:app")
    assert shown["id"] == first
    assert "2 dead letters begin with" in shell.refused("dlq", "show", first[: same - 1], "work:app")
    assert "no dead letter has the id ffff" in shell.refused("dlq", "show", "ffff", "work:app")


def test_replay_one(shell: Shell, dead: list[dict[str, Any]]) -> None:
    assert shell.json("dlq", "replay", dead[0]["id"], "work:app") == {"replayed": 1}
    assert [each["id"] for each in shell.json("dlq", "list", "work:app")] == [dead[1]["id"]]
    work(1)
    assert len(shell.json("dlq", "list", "work:app")) == 2


@pytest.mark.parametrize("where", [("work:app",), ("--store", STORE), ("work:app", "--handler", "worker")])
def test_replay_all(shell: Shell, dead: list[dict[str, Any]], where: tuple[str, ...]) -> None:
    assert shell.ok("dlq", "replay", "--all", *where) == "replayed: 2\n"
    assert shell.json("dlq", "list", "work:app") == []


def test_purge_asks(shell: Shell, dead: list[dict[str, Any]]) -> None:
    assert shell.run("dlq", "purge", "--all", "work:app", stdin="n\n").exit_code == 1
    assert len(shell.json("dlq", "list", "work:app")) == 2
    assert shell.run("dlq", "purge", dead[0]["id"], "work:app", stdin="y\n").exit_code == 0
    assert shell.json("dlq", "purge", "--all", "--yes", "work:app") == {"purged": 1}
    assert shell.json("dlq", "list", "work:app") == []


def test_purge_says_what_it_would_throw_away(shell: Shell, dead: list[dict[str, Any]]) -> None:
    asked = shell.run("dlq", "purge", dead[0]["id"], "work:app", stdin="n\n")
    assert f"Throw away {dead[0]['id']}?" in asked.output
    asked = shell.run("dlq", "purge", "--all", "--handler", "worker", "work:app", stdin="n\n")
    assert "Throw away all dead letters of worker?" in asked.output


def test_groups(shell: Shell, dead: list[dict[str, Any]]) -> None:
    (group,) = shell.json("dlq", "groups", "work:app")
    assert (group["count"], group["handlers"], group["example"]) == (2, ["worker"], dead[0]["id"])
    table = shell.ok("dlq", "groups", "work:app")
    assert group["fingerprint"] in table
    assert group["place"] in table
    assert shell.ok("dlq", "replay", "--group", "0" * 12, "work:app") == "replayed: 0\n"
    assert shell.ok("dlq", "replay", "--group", group["fingerprint"], "--rate", "1000", "work:app") == "replayed: 2\n"
    assert shell.ok("dlq", "groups", "work:app").strip() == "no dead letters"


def test_what_is_asked_wrongly(shell: Shell) -> None:
    assert "name an app or a store" in shell.refused("dlq", "list")
    assert "name an app or a store" in shell.refused("dlq", "list", "work:app", "--store", STORE)
    assert "name one dead letter or all" in shell.refused("dlq", "replay")
    assert "there is no store at sqlite:///work.db" in shell.refused("dlq", "list", "work:app")
    assert not Path("work.db").exists()
    assert "has no store" in shell.refused("dlq", "list", "shop:app")
    assert "did you mean sqlite://" in shell.refused("dlq", "list", "--store", "sqlit:///a.db")


def test_purging_nothing_leaves_the_store_alone(shell: Shell, dead: list[dict[str, Any]]) -> None:
    assert "no dead letter has the id ee" in shell.refused("dlq", "purge", "ee", "--yes", "work:app")
    assert shell.json("dlq", "list", "work:app") == dead
