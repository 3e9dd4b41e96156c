"""What is imported when, and what is said where an extra is missing. In processes of their own."""

import subprocess
import sys

import pytest

EXTRA = ("typer", "rich", "watchfiles", "uvloop")


def python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", code], capture_output=True, text=True, timeout=60
    )


def test_the_library_imports_no_extra() -> None:
    everything = "catga, catga.description, catga.explanation, catga.deadletters"
    code = f"import sys, {everything}; print([name for name in {EXTRA!r} if name in sys.modules])"
    assert python(code).stdout == "[]\n"


def test_a_worker_imports_neither_typer_nor_rich() -> None:
    code = "import sys, catga.cli.worker; print('rich' in sys.modules, 'typer' in sys.modules)"
    assert python(code).stdout == "False False\n"


def test_nothing_imports_the_command_line() -> None:
    code = "import sys, catga, catga.description, catga.deadletters; print('catga.cli' in sys.modules)"
    assert python(code).stdout == "False\n"


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_a_missing_extra_is_named(missing: str) -> None:
    found = python(f"import sys; sys.modules[{missing!r}] = None; from catga.cli import main; main()")
    assert found.returncode == 2
    assert found.stderr == f"catga's command line needs {missing}: pip install 'catga[cli]'\n"


def test_reload_needs_watchfiles() -> None:
    asked = "sys.argv = ['catga', 'run', 'x:app', '--reload']"
    found = python(f"import sys; sys.modules['watchfiles'] = None; {asked}; from catga.cli import main; main()")
    assert found.returncode == 1
    assert "pip install 'catga[cli]'" in found.stderr
