"""An app as data: what is told must be what happens."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.shop import Add, Bought, Buy, shop

from catga import Catga, Command, Err, Ok
from catga.backends.sqlite import SqliteOptions, SqliteStore
from catga.clock import SystemClock
from catga.description import describe, shown_backend, type_name
from catga.envelope import Codec
from catga.errors import UnknownMessageType
from catga.explanation import explain, find_message


def plans(app: Catga) -> dict[str, tuple[str, bool]]:
    return {handler.id.rpartition(".")[2]: (handler.plan, handler.durable) for handler in describe(app).handlers}


def test_plans_without_a_store() -> None:
    assert set(plans(shop()).values()) == {("pure", False)}


def test_plans_with_a_store_and_nothing_is_opened(tmp_path: Path) -> None:
    app = shop(f"sqlite:///{tmp_path}/shop.db")
    assert plans(app) == {
        "add": ("pure", True),
        "mails": ("transactional", True),
        "stock": ("transactional", True),
        "count": ("pure", False),
        "each": ("pure", False),
        "buy": ("transactional", True),
    }
    assert list(tmp_path.iterdir()) == []


def test_the_plan_that_is_told_is_the_one_that_is_made(tmp_path: Path) -> None:
    app = shop(f"sqlite:///{tmp_path}/shop.db")
    told = {h.message for h in describe(app).handlers if h.plan == "transactional" and h.message in ("Add", "Buy")}

    async def made() -> set[str]:
        await app.start(work=False)
        assert app._running is not None
        found = {message.__name__ for message in app._running.transactional}
        await app.stop()
        return found

    assert asyncio.run(made()) == told


def test_middleware_is_told_in_its_order() -> None:
    (mail,) = (handler for handler in describe(shop("sqlite:///x.db")).handlers if handler.id == "mails")
    assert mail.middleware == ("audit", "inner")


def test_retries_are_told_as_waits() -> None:
    (mail,) = (handler for handler in describe(shop("sqlite:///x.db")).handlers if handler.id == "mails")
    assert mail.retry is not None
    assert (mail.retry.immediate, mail.retry.waits, mail.retry.on) == (2, (0.5, 1.0, 2.0), ("ValueError",))
    assert all(handler.retry is None for handler in describe(shop()).handlers)


def test_channels() -> None:
    channels = {channel.name: channel.messages for channel in describe(shop("sqlite:///x.db")).channels}
    assert channels == {"shop": ("Add", "shop.bought"), "urgent": ("Buy",)}


@pytest.mark.parametrize(
    ("store", "held", "words"),
    [
        (None, "no", "gone with the process"),
        ("sqlite:///x.db", "yes", "FULL"),
        ("sqlite:///x.db?synchronous=normal", "limited", "power failure may lose"),
        (SqliteStore(SqliteOptions("x.db", synchronous="NORMAL"), SystemClock()), "limited", "power failure may lose"),
    ],
)
def test_guarantees_are_honest(store: Any, held: str, words: str) -> None:
    first = describe(shop(store)).guarantees[0]
    assert first.held == held
    assert words in first.under


def test_a_wrong_url_is_a_mistake_and_promises_nothing() -> None:
    info = describe(shop("sqlit:///x.db"))
    assert "did you mean sqlite://" in info.mistakes[0]
    assert [guarantee.held for guarantee in info.guarantees] == ["no"]


def test_mistakes_of_handlers_are_told() -> None:
    app = shop()
    app.handler(Add)(shop)  # type: ignore[arg-type]
    mistakes = "\n".join(describe(app).mistakes)
    assert "CTG-1002" in mistakes
    assert "CTG-1003" in mistakes


def test_it_is_json() -> None:
    data = msgspec.json.decode(msgspec.json.encode(describe(shop("sqlite:///x.db"))))
    assert data["name"] == "shop"
    assert {message["name"]: message["reply"] for message in data["messages"]} == {
        "Add": "int",
        "shop.bought": None,
        "Count": "int",
        "Each": "int",
        "Buy": "Result[str, str]",
    }


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///a.db", "sqlite:///a.db"),
        ("sqlite:///a.db?lease=1", "sqlite:///a.db?lease=1"),
        ("sqlite:///a.db?password=x&lease=1", "sqlite:///a.db?password=***&lease=1"),
        ("postgres://me:secret@host:5432/db", "postgres://***@host:5432/db"),
        ("redis://host/0?token=abc", "redis://host/0?token=***"),
        (None, None),
    ],
)
def test_secrets_are_left_out(url: str | None, shown: str | None) -> None:
    assert shown_backend(url) == shown


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (None, "None"),
        (int, "int"),
        (list[str], "list[str]"),
        (dict[str, int | None], "dict[str, int | None]"),
        (Ok[int] | Err[str], "Result[int, str]"),
        (Ok[int] | Err[str] | None, "Ok[int] | Err[str] | None"),
    ],
)
def test_types_read_as_they_are_written(annotation: Any, text: str) -> None:
    assert type_name(annotation) == text


@pytest.mark.parametrize("name", ["Add", "Insert"])
def test_a_message_is_found_by_all_its_names(name: str) -> None:
    assert find_message(shop(), name) is Add


def test_a_message_is_found_by_its_class() -> None:
    assert find_message(shop(), "Bought") is Bought


def test_near_misses_are_listed() -> None:
    with pytest.raises(UnknownMessageType, match=r"did you mean shop\.bought or Bought"):
        find_message(shop(), "shop.bougth")


def test_the_part_that_is_told_is_the_one_it_gets() -> None:
    codec = Codec([Buy], "shop", {})
    for cart in ("ann", "bob", "", "卡"):
        told = explain(shop("sqlite:///x.db"), "Buy", cart)
        assert (told.part, told.channel) == ((found := codec.encode(Buy(cart), bytes(16), 1)).part, found.channel)


def test_queries_have_no_part() -> None:
    told = explain(shop("sqlite:///x.db"), "Count", "ann")
    assert (told.part, told.channel, told.verbs.keys()) == (None, None, {"send"})


def test_each_handler_of_an_event_is_followed() -> None:
    told = explain(shop("sqlite:///x.db"), "shop.bought")
    mail, stock = sorted(told.visits, key=lambda visit: visit.handler.id)
    assert mail.order == ("audit", "inner", "mails")
    assert "tried 2 times again in place, then tried 3 times again after 0.5, 1, 2 s" in mail.failing[0]
    assert "for ValueError only" in mail.failing[0]
    assert stock.handler.batch is not None


def test_failing_without_a_store() -> None:
    (visit,) = explain(shop(), "Add").visits
    assert visit.failing == ("send raises it", "enqueue logs it; nothing is retried: the app has no store")


def test_a_command_that_nobody_handles() -> None:
    class Lonely(Command):
        pass

    assert explain(Catga("alone", messages=(Lonely,)), "Lonely").visits == ()
