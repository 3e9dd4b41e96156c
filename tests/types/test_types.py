"""What mypy and pyright say of code that uses Catga: the same lines are wrong to both, and no others."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent / "cases"
NAMES = sorted(path.name for path in CASES.glob("*.py"))

Found = dict[str, dict[int, str]]
"""Per file: the lines with an error, and what it says."""


def expected(name: str) -> set[int]:
    """Lines that end in `# error`; one on a decorator may be reported on the function under it."""
    lines = (CASES / name).read_text("utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# error")}


def run(*command: str) -> str:
    # The checkers are programs of their own: our strictness about warnings is not theirs.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    ).stdout


@pytest.fixture(scope="module")
def mypy(tmp_path_factory: pytest.TempPathFactory) -> Found:
    cache = tmp_path_factory.mktemp("mypy")
    out = run("mypy", "--strict", "--output=json", f"--cache-dir={cache}", *(str(CASES / name) for name in NAMES))
    found: Found = {}
    for line in out.splitlines():
        if line.startswith("{") and (report := json.loads(line))["severity"] == "error":
            found.setdefault(Path(report["file"]).name, {})[report["line"]] = report["message"]
    return found


@pytest.fixture(scope="module")
def pyright(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("pyright")
    shutil.copytree(CASES, folder / "cases")
    project = folder / "pyrightconfig.json"
    settings = {
        "include": ["cases"],
        "extraPaths": [str(ROOT / "python")],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "reportUnusedFunction": False,
        "reportUnnecessaryComparison": False,
    }
    project.write_text(json.dumps(settings), "utf-8")
    out = run("pyright", "--outputjson", "--pythonpath", sys.executable, "--project", str(project))
    found: Found = {}
    for report in json.loads(out)["generalDiagnostics"]:
        if report["severity"] == "error":
            found.setdefault(Path(report["file"]).name, {})[report["range"]["start"]["line"] + 1] = report["message"]
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_errors_are_where_they_belong(checker: str, name: str, request: pytest.FixtureRequest) -> None:
    found: Found = request.getfixturevalue(checker)
    wanted = expected(name)
    here = {
        line if line in wanted or line - 1 not in wanted else line - 1: text
        for line, text in found.get(name, {}).items()
    }
    assert set(here) == wanted, here


def test_the_cases_expect_something() -> None:
    assert sum(len(expected(name)) for name in NAMES) >= 10
