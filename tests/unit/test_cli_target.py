"""`module:app`: found, or told what was found instead."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.cli import Shell, make_shell


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    with make_shell(tmp_path, monkeypatch) as shell:
        yield shell


@pytest.mark.parametrize("target", ["shop:app", "shop"])
def test_found(shell: Shell, target: str) -> None:
    assert shell.json("describe", target)["name"] == "shop"


def test_an_app_inside_of_something(shell: Shell) -> None:
    shell.write("held.py", "import shop\nclass Held:\n    app = shop.app\n")
    assert shell.json("describe", "held:Held.app")["name"] == "shop"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("shpo:app", "did you mean shop?"),
        ("pack.shp:app", "did you mean pack.shop?"),
        ("nowhere_at_all:app", "go to the folder that holds it"),
        ("shop:ap", "did you mean app?"),
        ("shop:qqq", "name shop:app"),
        ("shop:Add", "shop:Add is no app but MessageMeta"),
        (":app", "names no module"),
        ("empty", "there is no app in empty"),
        ("two", "they are: one, other"),
        ("broken:app", "ZeroDivisionError: division by zero"),
        ("unwritten:app", "unwritten.py:1"),
        ("wants:app", "No module named 'not_there'"),
    ],
)
def test_not_found(shell: Shell, target: str, words: str) -> None:
    shell.write("pack/__init__.py", "")
    shell.write("pack/shop.py", "")
    shell.write("empty.py", "")
    shell.write("two.py", "from catga import Catga\none = Catga('one')\nother = Catga('other')\n")
    shell.write("broken.py", "\n1 / 0\n")
    shell.write("unwritten.py", "def")
    shell.write("wants.py", "import not_there")
    told = shell.refused("describe", target)
    assert words in told
    assert told.startswith("[CTG-1000]")


def test_a_broken_module_says_where(shell: Shell) -> None:
    shell.write("broken.py", "\n1 / 0\n")
    assert f"where: {shell.folder}/broken.py:2" in shell.refused("describe", "broken:app")


def test_a_command_that_is_not_there(shell: Shell) -> None:
    assert "describe" in shell.refused("descibe", "shop:app")
