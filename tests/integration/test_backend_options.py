"""URLs of stores: every wrong option is named, with those there are."""

import pytest

from catga.backends.memory import MemoryOptions
from catga.backends.sqlite import SqliteOptions
from catga.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("sqlite:///a.db?nope=1", ["nope"]),
        ("sqlite:///a.db?nope=1&nor=2&lease=soon&readers=0", ["nope", "nor", "lease=soon", "readers=0"]),
        ("sqlite:///a.db?synchronous=maybe", ["synchronous=maybe"]),
        ("sqlite:///a.db?synchronous=", ["synchronous="]),
        ("sqlite:///a.db?lease=", ["lease="]),
        (
            "sqlite:///a.db?lease=0&poll=-1&hold=nan&lock_timeout=inf",
            ["lease=0", "poll=-1", "hold=nan", "lock_timeout"],
        ),
        ("sqlite:///a.db?readers=1.5", ["readers=1.5"]),
        ("sqlite:///a.db?path=other.db", ["path"]),
        ("sqlite:///a.db?lease=1&lease=2", ["lease: given twice"]),
        ("sqlite:///", ["names no file"]),
        ("sqlite://a.db", ["names no file"]),
        ("sqlite://", ["names no file"]),
    ],
)
def test_wrong_sqlite_urls(url: str, named: list[str]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        SqliteOptions.parse(url)
    assert all(name in str(raised.value) for name in named), raised.value
    if "?" in url:
        assert "lock_timeout" in raised.value.fix


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("memory://?nope=1&capacity=0", ["nope", "capacity=0"]),
        ("memory://?name=other", ["name"]),
        ("memory://name?lease=never", ["lease=never"]),
        ("memory:///path", ["names a path"]),
    ],
)
def test_wrong_memory_urls(url: str, named: list[str]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        MemoryOptions.parse(url)
    assert all(name in str(raised.value) for name in named), raised.value


def test_right_urls() -> None:
    options = SqliteOptions.parse("sqlite:////tmp/a%20b.db?synchronous=normal&lease=2&readers=3&poll=0.5")
    assert options == SqliteOptions("/tmp/a b.db", "NORMAL", lease=2.0, readers=3, poll=0.5)
    assert SqliteOptions.parse("sqlite:///a.db") == SqliteOptions("a.db")
    assert MemoryOptions.parse("memory://") == MemoryOptions()
    assert MemoryOptions.parse("memory://name?lease=2&capacity=5") == MemoryOptions("name", 2.0, 5)
