"""The workflows keep to the rules: pinned actions, least permissions, no cache where a release is made."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
MAY_WRITE = {("release.yml", "publish"): {"id-token": "write", "attestations": "write"}}


def workflow(path: Path) -> dict[Any, Any]:
    loaded = yaml.safe_load(path.read_text("utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in workflow(path)["jobs"].values() for step in job["steps"]]


def test_there_are_workflows() -> None:
    assert [path.name for path in FILES] == ["ci.yml", "nightly.yml", "release.yml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
class TestEvery:
    def test_actions_are_pinned_by_hash_with_the_version_beside_it(self, path: Path) -> None:
        loose = [
            line.strip() for line in path.read_text("utf-8").splitlines() if "uses:" in line and not PINNED.search(line)
        ]
        assert loose == []

    def test_permissions_are_given_by_the_job_and_read_only(self, path: Path) -> None:
        assert workflow(path)["permissions"] == {}
        for name, job in workflow(path)["jobs"].items():
            allowed = MAY_WRITE.get((path.name, name), {"contents": "read"})
            assert job["permissions"] in ({}, allowed), name

    def test_checkouts_leave_no_token_behind(self, path: Path) -> None:
        for step in steps(path):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False

    def test_jobs_end_and_run_on_a_named_system(self, path: Path) -> None:
        for name, job in workflow(path)["jobs"].items():
            assert job["timeout-minutes"] <= 120, name
            assert "latest" not in job["runs-on"], name

    def test_no_untrusted_text_reaches_a_shell(self, path: Path) -> None:
        assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


def test_one_action_has_one_version() -> None:
    pins: dict[str, set[str]] = {}
    for path in FILES:
        for step in steps(path):
            if "uses" in step:
                action, _, commit = step["uses"].partition("@")
                pins.setdefault(action, set()).add(commit)
    assert {action: commits for action, commits in pins.items() if len(commits) > 1} == {}


def test_required_waits_for_every_job() -> None:
    jobs = workflow(FOLDER / "ci.yml")["jobs"]
    required = jobs.pop("required")
    assert sorted(required["needs"]) == sorted(jobs)
    assert required["if"] == "always()", "a skipped check counts as passed"
    assert not any(job.get("continue-on-error") for job in jobs.values())


def test_tests_run_on_every_system_and_python() -> None:
    matrix = workflow(FOLDER / "ci.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert {system.split("-")[0] for system in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14", "3.15"]


def test_a_release_reads_no_cache() -> None:
    for step in steps(FOLDER / "release.yml"):
        assert "cache" not in step.get("uses", "")
        assert "cache" not in step.get("with", {})
        if "maturin-action" in step.get("uses", ""):
            assert step["with"]["sccache"] == "false"


def test_a_release_is_published_by_trust_and_attested() -> None:
    release = workflow(FOLDER / "release.yml")
    publish = release["jobs"]["publish"]
    assert sorted(publish["needs"]) == sorted(set(release["jobs"]) - {"publish"})
    assert publish["environment"] == "release"
    used = [step["uses"].split("@")[0] for step in publish["steps"]]
    assert used == ["actions/download-artifact", "actions/attest-build-provenance", "pypa/gh-action-pypi-publish"]
    assert "secrets." not in (FOLDER / "release.yml").read_text("utf-8")
