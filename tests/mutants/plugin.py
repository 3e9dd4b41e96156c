"""For pytest, in the tree: which test runs which line; or only planned tests, in their order."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TRACE = os.environ.get("CATGA_MUTANTS_TRACE")
PLAN = os.environ.get("CATGA_MUTANTS_PLAN")
ROOMS = ("mediator", "delivery")

if TRACE is not None:
    from coverage import Coverage

    import catga

    package = Path(catga.__file__).parent
    lines = Coverage(
        data_file=f"{TRACE}/lines.{os.getpid()}", source=[str(package / room) for room in ROOMS], config_file=False
    )
    lines.set_option("run:disable_warnings", ["no-data-collected"])
    lines.start()
    seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
        lines.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            lines.switch_context("")

    def pytest_runtest_logreport(report: pytest.TestReport) -> None:
        seconds[report.nodeid] = seconds.get(report.nodeid, 0.0) + report.duration

    def pytest_sessionfinish(session: pytest.Session) -> None:
        lines.stop()
        lines.save()
        # With workers, each has seen its own tests, and the one that leads them has seen all.
        if not hasattr(session.config, "workerinput"):
            Path(f"{TRACE}/seconds.json").write_text(json.dumps(seconds))


if PLAN is not None:
    planned: dict[str, float] = json.loads(Path(PLAN).read_text())
    places = {test: place for place, test in enumerate(planned)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
        others = [item for item in items if item.nodeid not in places]
        items[:] = sorted((item for item in items if item.nodeid in places), key=lambda item: places[item.nodeid])
        for item in items:
            # Ten times what it took: what hangs is not waited for as long as what is slow.
            item.add_marker(pytest.mark.timeout(15 + 10 * planned[item.nodeid]))
        config.hook.pytest_deselected(items=others)
