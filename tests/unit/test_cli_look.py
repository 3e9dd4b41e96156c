"""`describe`, `explain`, `doctor`, `bench`: what they print and how they end."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.cli import APP, Shell, make_shell

import catga


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    with make_shell(tmp_path, monkeypatch) as shell:
        yield shell


def test_version(shell: Shell) -> None:
    assert shell.ok("--version") == f"catga {catga.__version__}\n"


@pytest.mark.parametrize("command", ["run", "dev", "describe", "explain", "doctor", "bench", "send", "publish", "dlq"])
def test_every_command_is_listed_and_explains_itself(shell: Shell, command: str) -> None:
    assert command in shell.ok("--help")
    assert len(shell.ok(command, "--help").splitlines()) > 5


@pytest.mark.parametrize("command", ["list", "show", "replay", "purge"])
def test_dlq_explains_itself(shell: Shell, command: str) -> None:
    assert "--json" in shell.ok("dlq", command, "--help")


def test_describe(shell: Shell) -> None:
    told = shell.ok("describe", "shop:app")
    for word in ("Messages", "Handlers", "Guarantees", "shop.add", "Result[int, str]", "gone with the process"):
        assert word in told


@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_tables_keep_every_word_at_every_width(shell: Shell, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    told = shell.ok("describe", "shop:app")
    assert max(map(len, told.splitlines())) <= int(columns)
    assert "…" not in told
    assert "shop.bought" in told


def test_describe_fails_on_mistakes(shell: Shell) -> None:
    shell.write("wrong.py", APP + "\n@app.handler(Add)\nasync def again(cmd: Add) -> int: return 1\n")
    assert "[CTG-1003] Add has two handlers" in shell.refused("describe", "wrong:app", code=1)
    assert json.loads(shell.run("describe", "wrong:app", "--json").stdout)["mistakes"]


def test_explain(shell: Shell) -> None:
    told = shell.ok("explain", "Add", "shop:app")
    assert "nothing is retried: the app has no store" in told
    assert "give --key to see it" in told


def test_explain_with_a_key(shell: Shell) -> None:
    told = shell.json("explain", "Add", "shop:app", "--key", "ann")
    assert 0 <= told["part"] < told["parts"]


def test_explain_what_is_not_there(shell: Shell) -> None:
    told = shell.refused("explain", "Ad", "shop:app")
    assert told.startswith("[CTG-3010]")
    assert "did you mean Add" in told


def test_doctor(shell: Shell) -> None:
    found = {each["what"]: each for each in shell.json("doctor")}
    assert {"python", "extension", "sqlite", "clock", "extra cli", "extra uvloop", "backends"} == found.keys()
    assert all(each["fix"] for each in found.values() if each["state"] != "ok")
    assert catga.__version__ in found["extension"]["found"]


def test_doctor_warns_of_a_debug_build(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catga, "build_info", lambda: {**_built, "profile": "debug"})
    (built,) = (each for each in shell.json("doctor") if each["what"] == "extension")
    assert (built["state"], "--release" in built["fix"]) == ("warning", True)


_built = catga.build_info()


def test_doctor_knows_a_clock_that_was_never_set(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catga.cli.checks.time.time", lambda: 12.0)
    assert "1970" in shell.run("doctor").stdout
    assert shell.run("doctor").exit_code == 1


def test_doctor_looks_at_the_store(shell: Shell) -> None:
    shell.write("kept.py", APP.replace('Catga("shop")', 'Catga("shop", store="sqlite:///shop.db")'))
    found = {each["what"]: each for each in shell.json("doctor", "kept:app")}
    assert "was opened and written" in found["store"]["found"]
    assert found["leases"]["found"] == "none is held: no instance runs"
    assert found["dead letters"]["state"] == "ok"


def test_doctor_finds_what_is_no_database(shell: Shell) -> None:
    shell.write("kept.py", APP.replace('Catga("shop")', 'Catga("shop", store="sqlite:///shop.db")'))
    shell.write("shop.db", "no database at all, " * 100)
    result = shell.run("doctor", "kept:app", "--json")
    (store,) = (each for each in json.loads(result.stdout) if each["what"] == "store")
    assert (store["state"], result.exit_code, bool(store["fix"])) == ("wrong", 1, True)


def test_doctor_without_a_store_warns(shell: Shell) -> None:
    (store,) = (each for each in shell.json("doctor", "shop:app") if each["what"] == "store")
    assert store["state"] == "warning"


def test_bench(shell: Shell) -> None:
    rows = shell.json("bench", "--seconds", "0.05")
    assert len(rows) == 5
    assert all(row["count"] > 0 for row in rows)
    assert not list(shell.folder.glob("*bench*"))


def test_colour_only_in_a_terminal(shell: Shell) -> None:
    assert "\x1b" not in shell.ok("describe", "shop:app")
    assert "\x1b" not in shell.refused("describe", "nowhere:app")
