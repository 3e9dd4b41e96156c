"""`send` and `publish`: JSON in, JSON out, and an exit code that tells."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.cli import APP, Shell, make_shell


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    with make_shell(tmp_path, monkeypatch) as shell:
        shell.write("kept.py", APP.replace('Catga("shop")', 'Catga("shop", store="sqlite:///shop.db")'))
        yield shell


def test_a_reply_is_json(shell: Shell) -> None:
    assert shell.ok("send", "Add", '{"cart": "ann", "count": 3}', "shop:app") == "3\n"
    assert shell.json("send", "Count", '{"cart": "ann"}', "shop:app") == {"ann": 3}


def test_fields_from_stdin(shell: Shell) -> None:
    assert shell.ok("send", "Add", "-", "shop:app", stdin='{"cart": "ann"}') == "1\n"


def test_ok_and_err(shell: Shell) -> None:
    assert shell.json("send", "Buy", '{"count": 1}', "shop:app") == {"is": "ok", "value": 1}
    result = shell.run("send", "Buy", '{"count": 0}', "shop:app")
    assert (result.exit_code, json.loads(result.stdout)) == (1, {"is": "err", "error": "nothing"})


def test_a_stream_is_a_line_a_value(shell: Shell) -> None:
    assert shell.ok("send", "Each", '{"upto": 3}', "shop:app") == "0\n1\n2\n"


def test_wrong_fields_are_told_with_the_right_ones(shell: Shell) -> None:
    told = shell.refused("send", "Add", '{"cart": 1}', "shop:app")
    assert told.startswith("[CTG-2004] this is no Add")
    assert "$.cart" in told
    assert "cart: str, count: int" in told
    assert "truncated" in shell.refused("send", "Add", "{", "shop:app")


def test_names_are_helped(shell: Shell) -> None:
    assert "did you mean Bought" in shell.refused("publish", "Bougth", "{}", "shop:app")
    assert "catga publish Bought" in shell.refused("send", "Bought", '{"cart": ""}', "shop:app")
    assert "catga send Add" in shell.refused("publish", "Add", '{"cart": ""}', "shop:app")
    assert "only commands can be enqueued" in shell.refused("send", "--enqueue", "Count", '{"cart": ""}', "shop:app")


def test_what_a_handler_raised_is_told_without_our_frames(shell: Shell) -> None:
    told = shell.refused("send", "Add", '{"cart": "", "count": -1}', "shop:app", code=1)
    assert told.startswith("ValueError: too few\n  where: ")
    assert "shop.py:" in told
    assert shell.refused("publish", "Bought", '{"cart": "lost"}', "shop:app", code=1).startswith("KeyError: 'lost'")


def test_receipts(shell: Shell) -> None:
    receipt = shell.json("send", "--enqueue", "Add", '{"cart": "ann"}', "kept:app")
    assert receipt["durable"] is True
    assert len(receipt["id"]) == 32
    assert shell.json("publish", "Bought", '{"cart": "ann"}', "kept:app")["durable"] is True
    result = shell.run("publish", "Bought", '{"cart": "ann"}', "shop:app")
    assert json.loads(result.stdout)["durable"] is False
    assert "has no store" in result.stderr


def test_the_id_is_the_askers(shell: Shell) -> None:
    wanted = "0190163d8694739b8abcdef012345678"
    assert shell.json("send", "--enqueue", "--id", wanted, "Add", '{"cart": "ann"}', "kept:app")["id"] == wanted
    assert "is no id" in shell.refused("send", "--id", "12", "Add", '{"cart": "ann"}', "kept:app")


def test_nothing_is_handled_here_that_was_left_to_others(shell: Shell) -> None:
    shell.ok("send", "--enqueue", "Add", '{"cart": "ann", "count": -1}', "kept:app")
    assert shell.json("dlq", "list", "kept:app") == []
    assert {each["what"]: each["found"] for each in shell.json("doctor", "kept:app")}["leases"].startswith("none")


def test_an_app_that_cannot_start(shell: Shell) -> None:
    shell.write("wrong.py", APP + "\n@app.handler(Add)\nasync def again(cmd: Add) -> int: return 1\n")
    assert "Add has two handlers" in shell.refused("send", "Add", '{"cart": ""}', "wrong:app", code=1)
