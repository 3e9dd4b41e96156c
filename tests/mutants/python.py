"""Mutations of the mediator and of delivery, listed by cosmic-ray."""

import ast
import functools
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.mutants.mutants import Candidate, Mutant, mutant
from tests.mutants.tree import Broken, Tree
from tests.mutants.verdicts import Verdict, pytest, run, tail

ROOMS = ("python/catga/mediator", "python/catga/delivery")

SUITE = ["-m", "not long", "--ignore=tests/crash", "--ignore=tests/types", "tests"]
"""Without what kills processes, and what looks at types, which change nothing that runs."""

BLUNT = {
    "core/ReplaceComparisonOperator_Is_Eq",
    "core/ReplaceComparisonOperator_IsNot_NotEq",
    "core/ReplaceComparisonOperator_Eq_Is",
    "core/ReplaceComparisonOperator_NotEq_IsNot",
}
"""Of classes, members of enums and small numbers, `is` and `==` say the same: no test could tell."""


def listed(tree: Tree) -> list[Candidate]:
    """All that may change what runs, in the order of the files."""
    files = sorted(file for room in ROOMS for file in (tree.root / room).rglob("*.py"))
    return [each for file in files for each in _of_file(tree, file.relative_to(tree.root).as_posix())]


def _of_file(tree: Tree, path: str) -> Iterator[Candidate]:
    try:
        from cosmic_ray.ast import ast_nodes, get_ast
        from cosmic_ray.ast.ast_query import ASTQuery
        from cosmic_ray.plugins import get_operator, operator_names
    except ImportError as error:
        raise Broken("cosmic-ray is missing: `make test-mutants` installs it") from error
    text = tree.read(path)
    parsed = get_ast(text)
    idle = list(_idle(ast.parse(text)))
    for name in sorted(set(operator_names()) - BLUNT):
        if get_operator(name).arguments():
            continue
        operator = get_operator(name)()
        places = [(node, *place) for node in ast_nodes(parsed) for place in operator.mutation_positions(node)]
        for occurrence, (node, start, end) in enumerate(places):
            # The star of a parameter list is taken for a multiplication.
            star = getattr(node, "value", "") in ("*", "**") and node.parent.type in ("parameters", "param")
            if not star and not any(first <= start and end <= last for first, last in idle):
                function = ASTQuery(node).get_definition_name() or ""
                make = functools.partial(_make, tree, path, function, operator, occurrence)
                yield Candidate(path, (start[0], end[0]), make)


def _make(tree: Tree, path: str, function: str, operator: Any, occurrence: int) -> Mutant | None:
    from cosmic_ray.mutating import mutate_code

    text = tree.read(path)
    try:
        mutated = mutate_code(text, operator, occurrence)
        if mutated is None or ast.dump(ast.parse(mutated)) == ast.dump(ast.parse(text)):
            return None
    except (AttributeError, SyntaxError):
        # It cannot replace a dotted exception, and writes `not` where it may not stand.
        return None
    return mutant(path, function, text, mutated)


def _idle(tree: ast.Module) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """What never runs, or only for type checkers: annotations and overloads."""
    for node in ast.walk(tree):
        idle: list[ast.AST | None] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if any(isinstance(each, ast.Name) and each.id == "overload" for each in node.decorator_list):
                idle += [*node.decorator_list, node]
            idle += [node.returns]
        elif isinstance(node, ast.arg | ast.AnnAssign):
            idle += [node.annotation]
        for each in idle:
            if each is not None:
                yield (each.lineno, each.col_offset), (each.end_lineno, each.end_col_offset)  # type: ignore[attr-defined]


class Judge:
    """The tests that run the mutated line first, quickest first; then all others, as a child process may run it too."""

    def __init__(self, tree: Tree, jobs: int) -> None:
        self._tree = tree
        self._workers = ["-n", str(jobs)]
        with tempfile.TemporaryDirectory() as folder:
            env = {"CATGA_MUTANTS_TRACE": folder, "COVERAGE_CORE": "ctrace"}
            verdict = pytest(tree, [*self._workers, "-p", "tests.mutants.plugin", *SUITE], 1800, env)
            if verdict.what != "passed":
                raise Broken(f"the suite fails without any mutation: {verdict.by}\n{verdict.out}")
            self._seconds: dict[str, float] = json.loads((Path(folder) / "seconds.json").read_text())
            self._tests = _lines(Path(folder), tree.root)
        self._all = verdict.seconds

    def __call__(self, each: Mutant) -> tuple[Verdict, str]:
        module = each.path.removeprefix("python/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        imported = run(self._tree, [str(self._tree.python), "-c", f"import catga, {module}"], 30, {})
        if imported.code != 0:
            return Verdict("broken", tail(imported.out), imported.seconds), ""
        lines = self._tests.get(each.path, {})
        near = lines.get(each.line, set()) or {test for tests in lines.values() for test in tests}
        verdict = self._run(sorted(near, key=lambda test: self._seconds.get(test, 0.0)), [])
        if verdict.what == "passed":
            rest = self._run(sorted(set(self._seconds) - near), self._workers)
            verdict = Verdict(rest.what, rest.by, verdict.seconds + rest.seconds)
        ran = len(lines.get(each.line, ()))
        return verdict, f"{ran} tests run it, and none fails" if ran else "no test runs it by itself"

    def _run(self, tests: list[str], workers: list[str]) -> Verdict:
        if not tests:
            return Verdict("passed", "", 0.0)
        seconds = {test: self._seconds.get(test, 0.0) for test in tests}
        limit = 60 + 3 * min(self._all, sum(seconds.values()))
        with tempfile.NamedTemporaryFile("w", suffix=".json") as plan:
            json.dump(seconds, plan)
            plan.flush()
            files = sorted({test.partition("::")[0] for test in tests})
            env = {"CATGA_MUTANTS_PLAN": plan.name}
            return pytest(self._tree, [*workers, "-p", "tests.mutants.plugin", "-m", "not long", *files], limit, env)


def _lines(folder: Path, root: Path) -> dict[str, dict[int, set[str]]]:
    """Which tests ran each line of each file."""
    from coverage.data import CoverageData
    from coverage.numbits import numbits_to_nums

    found: dict[str, dict[int, set[str]]] = {}
    for file in folder.glob("lines.*"):
        CoverageData(str(file)).read()
        with sqlite3.connect(file) as database:
            rows = database.execute(
                "select file.path, context.context, line_bits.numbits from line_bits"
                " join file on file.id = line_bits.file_id join context on context.id = line_bits.context_id"
            ).fetchall()
        database.close()
        for path, test, bits in rows:
            lines = found.setdefault(Path(path).relative_to(root).as_posix(), {})
            for line in numbits_to_nums(bits) if test else ():
                lines.setdefault(line, set()).add(test)
    return found


def jobs() -> int:
    """Processors that we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
