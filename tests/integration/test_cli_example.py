"""The example of the README, run as its text says."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.integration.processes import Cli, until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

EXAMPLES = Path(__file__).parents[2] / "examples"
ORDER = '{"customer": "ann", "items": [{"sku": "tea", "cents": 450}, {"sku": "cup", "cents": 800}]}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLES / "orders", tmp_path / "orders", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def catga(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-W", "error", "-X", "dev", "-m", "catga.cli", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def orders(folder: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{folder / 'orders.db'}?mode=ro", uri=True)) as connection:
        return connection.execute("select id, customer, cents from orders").fetchall()


def test_an_order_is_placed(folder: Path) -> None:
    sent = catga(folder, "send", "PlaceOrder", ORDER, "orders.app:app")
    assert sent.returncode == 0, sent.stderr
    reply = json.loads(sent.stdout)
    assert orders(folder) == [(reply["value"], "ann", 1250)]


def test_an_empty_one_is_refused(folder: Path) -> None:
    sent = catga(folder, "send", "PlaceOrder", '{"customer": "ann", "items": []}', "orders.app:app")
    assert (sent.returncode, json.loads(sent.stdout)) == (1, {"is": "err", "error": "empty"})


def test_its_description_has_no_mistakes(folder: Path) -> None:
    assert json.loads(catga(folder, "describe", "orders.app:app", "--json").stdout)["mistakes"] == []
    assert not (folder / "orders.db").exists()


def test_it_runs_and_mails(folder: Path) -> None:
    assert catga(folder, "send", "PlaceOrder", ORDER, "orders.app:app").returncode == 0
    with Cli(folder, "run", "orders.app:app", "--workers", "2", "--json") as cli:
        cli.wait_for("ready", 2)
        until(
            lambda: any("mail" in line or "to ann: order" in line for line in cli.errors), "the mail or its failure", 8
        )
        assert cli.stop(signal.SIGTERM) == 0
    assert any("to ann: order" in line for line in cli.errors)
