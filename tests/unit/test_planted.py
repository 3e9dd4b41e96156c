"""The planted bugs of `make test-planted` still fit the code: one that no longer does would be missed without a word."""

import pytest
from tests.mutants.mutants import mutant
from tests.mutants.planted import Planted, check
from tests.mutants.tree import Broken

BUG = Planted(reason="none", path="here", old="two", new="three", suite="pytest", name="99-none")


def test_each_fits_and_each_kind_is_there() -> None:
    found = check()
    assert {bug.name.partition("-")[0] for bug in found} == {f"{number:02}" for number in range(1, 17)}
    for bug in found:
        assert bug.suite.split()[0] in ("pytest", "cargo")
        assert bug.reason
        assert "\n" not in bug.reason


@pytest.mark.parametrize(("text", "times"), [("one", 0), ("two and two", 2)])
def test_one_that_does_not_fit_is_loud(text: str, times: int) -> None:
    assert BUG.apply("one, two") == "one, three"
    with pytest.raises(Broken, match=f"99-none: its `old` is {times} times in here"):
        BUG.apply(text)


def test_a_mutant_is_known_by_its_lines() -> None:
    made = mutant("here.py", "f", "a = 1\nb = 2\nc = 3\n", "a = 1\nb = 4\nc = 3\n")
    assert (made.line, made.before, made.after, made.place) == (2, "b = 2", "b = 4", "here.py:2")
