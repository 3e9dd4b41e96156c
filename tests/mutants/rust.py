"""Mutations of the Rust core, listed by cargo-mutants."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.mutants.mutants import Candidate, Mutant, mutant
from tests.mutants.tree import ROOT, TOOLS, Broken, Tree
from tests.mutants.verdicts import Verdict, cargo

TOOL = TOOLS / "bin" / "cargo-mutants"
PACKAGE = "catga-core"
CORE = "rust/catga-core"

BLUNT = "replace | with ^"
"""The bits that the core puts together never overlap: of them both say the same, and no test could tell."""


def listed(tree: Tree) -> list[Candidate]:
    """All of them, in the order of the files."""
    if not TOOL.exists():
        raise Broken(f"{TOOL.relative_to(ROOT)} is missing: `make test-mutants` installs it")
    command = [str(TOOL), "mutants", "--list", "--json", "--package", PACKAGE]
    done = subprocess.run(command, cwd=tree.root, env=tree.environment, check=True, stdout=subprocess.PIPE, text=True)
    return [_candidate(tree, each) for each in json.loads(done.stdout) if BLUNT not in each["name"]]


def _candidate(tree: Tree, each: dict[str, Any]) -> Candidate:
    def make() -> Mutant:
        text = tree.read(each["file"])
        function = (each.get("function") or {}).get("function_name", "")
        return mutant(each["file"], function, text, _replaced(text, each["span"], each["replacement"]))

    return Candidate(each["file"], (each["span"]["start"]["line"], each["span"]["end"]["line"]), make)


def _replaced(text: str, span: dict[str, dict[str, int]], replacement: str) -> str:
    lines = text.splitlines(keepends=True)

    def at(place: dict[str, int]) -> int:
        return sum(map(len, lines[: place["line"] - 1])) + place["column"] - 1

    return text[: at(span["start"])] + replacement + text[at(span["end"]) :]


class Judge:
    """The tests of the mutated module first, then all; for the ring its interleavings too."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._limits: dict[str, float] = {}
        """Seconds for each module's tests, and for all of them under no name."""
        modules = sorted(file.stem for file in (tree.root / CORE / "tests").glob("*.rs"))
        for module in ["", *modules]:
            verdict = self._test(module, 600)
            if verdict.what != "passed":
                raise Broken(f"the core's tests fail without any mutation: {verdict.by}\n{verdict.out}")
            self._limits[module] = 20 + 5 * verdict.seconds

    def __call__(self, each: Mutant) -> tuple[Verdict, str]:
        module = Path(each.path).relative_to(f"{CORE}/src").parts[0].removesuffix(".rs")
        seconds = 0.0
        for stage in (module, "") if module in self._limits else ("",):
            verdict = self._test(stage, self._limits[stage])
            seconds += verdict.seconds
            if verdict.what != "passed":
                break
        if verdict.what == "passed" and module == "ring":
            env = {"RUSTFLAGS": "--cfg loom", "LOOM_MAX_PREEMPTIONS": "2"}
            verdict = cargo(self._tree, ["--release", "-p", PACKAGE, "--test", "loom_ring"], 300, env)
            seconds += verdict.seconds
        return Verdict(verdict.what, verdict.by, seconds), "no test of the core fails"

    def _test(self, module: str, limit: float) -> Verdict:
        return cargo(self._tree, ["-p", PACKAGE, *(("--lib", "--test", module) if module else ())], limit)
