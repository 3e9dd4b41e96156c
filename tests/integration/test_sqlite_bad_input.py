"""What a SQLite store does with files that are not as they should be: a typed error, and nothing lost."""

import asyncio
import os
import random
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from tests.integration.sqlite import TABLE, insert, opened, python, store_on, things, with_table

from catga import Catga, Command, Transaction
from catga.backends.sqlite.places import NAMES, TURNS
from catga.errors import (
    CatgaError,
    SchemaMismatch,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from catga.ports import Commit, Unit
from catga.testing.conformance.base import CHANNEL, committed, fates, mark, marked, message


def descriptors() -> int:
    """How many files this process has open; 0 where that cannot be asked."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def refused(path: Path, error: type[CatgaError], **options: object) -> str:
    """The file is refused twice, and nothing stays open."""

    async def main() -> str:
        store = store_on(path, **options)
        with pytest.raises(error) as first:
            await store.open()
        before = descriptors()
        with pytest.raises(error):
            await store.open()
        with pytest.raises(CatgaError):
            await store.commit([Unit()])
        await store.close()
        assert descriptors() <= before
        return str(first.value)

    return asyncio.run(main())


# -- not a database ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"no database" * 500, bytes(100), os.urandom(8192), b"SQLite format 3\0" * 300])
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "app.db"
    path.write_bytes(content)
    assert str(path) in refused(path, StoreCorrupt)
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    path.touch()

    async def main() -> None:
        async with opened(path) as store:
            await committed(store, Unit(marks=[mark(1)]))

    asyncio.run(main())


async def fill(path: Path, rows: int = 200) -> None:
    async with opened(path) as store:
        await with_table(store)
        await committed(store, *(Unit(statements=[insert(n, size=300)], marks=[mark(n)]) for n in range(rows)))


@pytest.mark.parametrize("kind", ["cut", "scribbled"])
def test_a_damaged_database_is_found_out_or_read(tmp_path: Path, kind: str) -> None:
    """Whatever was damaged: what comes is a store error or a right answer, never sqlite3's own error."""
    whole = tmp_path / "whole.db"
    asyncio.run(fill(whole))
    size = whole.stat().st_size
    chance = random.Random(11)

    async def use(path: Path) -> None:
        async with opened(path) as store:
            await store.commit([Unit(statements=[insert(10_000 + n)], marks=[mark(10_000 + n)]) for n in range(20)])
            await things(store)
            await marked(store, *range(200))
            await store.claim(CHANNEL, "a", 16, 10.0)
            await store.pending()

    corrupt = 0
    for number in range(24):
        path = tmp_path / f"{kind}-{number}.db"
        shutil.copy(whole, path)
        if kind == "cut":
            os.truncate(path, chance.choice([chance.randrange(1, size), chance.randrange(1, size // 4096) * 4096]))
        else:
            with path.open("r+b") as file:
                for _ in range(8):
                    file.seek(chance.randrange(100, size - 2000))
                    file.write(chance.randbytes(2000))
        try:
            asyncio.run(use(path))
        except StoreCorrupt:
            corrupt += 1
        except StoreError:
            pass
    assert corrupt >= 12


@pytest.mark.parametrize("damage", ["delete from catga_schema", "update catga_schema set version = 'one'"])
def test_a_version_that_cannot_be_read(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "app.db"
    asyncio.run(fill(path, 1))
    with sqlite3.connect(path) as connection:
        connection.execute(damage)
    connection.close()
    assert "no version" in refused(path, StoreCorrupt)


def test_damage_under_an_open_store(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    asyncio.run(fill(path, 2000))

    async def main() -> None:
        async with opened(path) as store:
            with path.open("r+b") as file:
                file.seek(4096)
                file.write(os.urandom(path.stat().st_size - 4096))
            with pytest.raises(StoreCorrupt):
                await store.fetch("select sum(length(data)) from things", ())
            with pytest.raises(StoreError):
                await store.commit([Unit(statements=[insert(n)], marks=[mark(n)]) for n in range(5000, 5200)])

    asyncio.run(main())


# -- not to be opened -------------------------------------------------------------------------------------------------


def test_a_missing_folder(tmp_path: Path) -> None:
    assert str(tmp_path) in refused(tmp_path / "nowhere" / "app.db", StoreUnavailable)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "app.db"
    folder.mkdir()
    refused(folder, StoreUnavailable)


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    refused(tmp_path / "file" / "app.db", StoreUnavailable)


READ_ONLY = """
import asyncio, sys
from pathlib import Path
from catga.errors import StoreReadOnly
from tests.integration.sqlite import store_on

async def main():
    store = store_on(Path(sys.argv[1]))
    try:
        await store.open()
    except StoreReadOnly as error:
        print("refused:", error)

asyncio.run(main())
"""


@pytest.mark.parametrize("what", ["file", "folder", "both"])
@pytest.mark.parametrize("used", [True, False])
def test_what_may_not_be_written(tmp_path: Path, what: str, used: bool) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "app.db"
    if used:
        asyncio.run(fill(path))
    else:
        path.touch()
    before: list[str] = []
    if os.geteuid() == 0:
        # Root passes every permission, so this one comes without the right to.
        if (setpriv := shutil.which("setpriv")) is None:
            pytest.skip("needs setpriv, or a user that is not root")
        before = [setpriv, "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    if what == "folder" and used:
        # The side files may be made anew only in a folder that can be written.
        for side in folder.iterdir():
            if side != path:
                side.unlink()
    if what != "folder":
        for file in folder.iterdir():
            file.chmod(0o444)
    if what != "file":
        folder.chmod(0o555)
    try:
        done = python(READ_ONLY, path, before=before)
    finally:
        folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert "refused:" in done.stdout
    assert str(path) in done.stdout


# -- full -------------------------------------------------------------------------------------------------------------


def limit(store, pages: int) -> None:
    store.database.writer.execute(f"pragma max_page_count = {pages}").fetchone()


@pytest.mark.parametrize("synchronous", ["NORMAL", "FULL"])
def test_a_full_database_keeps_what_was_acknowledged_and_goes_on(tmp_path: Path, synchronous: str) -> None:
    async def main() -> None:
        async with opened(tmp_path / "app.db", synchronous=synchronous) as store:
            await with_table(store)
            (pages,) = store.database.writer.execute("pragma page_count").fetchone()
            limit(store, pages + 40)
            acknowledged, number = [], 0
            with pytest.raises(StoreFull):  # noqa: PT012 - which of them finds no room is not known
                while True:
                    units = [
                        Unit(statements=[insert(number + n, size=3000)], marks=[mark(number + n)]) for n in range(5)
                    ]
                    assert fates(await store.commit(units)) == [Commit.COMMITTED] * 5
                    acknowledged += range(number, number + 5)
                    number += 5
            assert await things(store) == acknowledged
            assert await marked(store, *range(number + 5)) == acknowledged
            # However a commit fails for it, it fails whole, and no unit is blamed.
            for units in (
                [Unit(statements=[insert(9000, size=900_000)])],
                [Unit(statements=[insert(9001, size=900_000)]), Unit(statements=[insert(9002, None)])],
                [Unit(statements=[insert(9003, None)]), Unit(statements=[insert(9004, size=900_000)])],
                [Unit(publish=[message(n) for n in range(5000)])],
                [Unit(marks=[mark(n) for n in range(10_000, 15_000)])],
            ):
                with pytest.raises(StoreFull):
                    await store.commit(units)
            assert await things(store) == acknowledged
            assert await store.pending() == 0
            limit(store, 100_000)
            await committed(store, *units)
            await committed(store, Unit(statements=[insert(number, size=3000)], marks=[mark(number)]))
            assert await things(store) == [*acknowledged, number]

    asyncio.run(main())


class Keep(Command, key="key"):
    key: str
    number: int


def test_work_waits_while_the_disk_is_full_and_no_message_is_blamed(tmp_path: Path) -> None:
    """Handlers whose commits find no room run again when there is some; none of them has failed."""
    store = store_on(tmp_path / "app.db")
    app = Catga("keeper", store=store, transport=store.queue(), stop_within=5)

    @app.handler(Keep)
    async def keep(cmd: Keep, tx: Transaction) -> None:
        tx.execute("insert into things values (?, ?, ?)", cmd.number, cmd.key, bytes(20_000))

    async def main() -> None:
        await store.open()
        await store.commit([Unit(statements=[TABLE])])
        await app.start(work=False)
        await app.enqueue_many([Keep(f"key-{number % 4}", number) for number in range(40)])
        await app.stop()
        (pages,) = store.database.writer.execute("pragma page_count").fetchone()
        limit(store, pages + 60)
        async with app, asyncio.timeout(20):
            await asyncio.sleep(0.7)  # one try, a pause, another
            assert len(await things(store)) < 40
            limit(store, 100_000)
            await app.settled()
            assert await things(store) == list(range(40))
            assert list(await store.dead(10)) == []
            assert app.statistics()["retried"] == 0
        await store.close()

    asyncio.run(main())


# -- another release --------------------------------------------------------------------------------------------------


def test_a_file_of_a_newer_release(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    asyncio.run(fill(path, 1))
    with sqlite3.connect(path) as connection:
        connection.execute("update catga_schema set version = 99")
    connection.close()
    said = refused(path, SchemaMismatch)
    assert "99" in said
    assert "update catga" in said


def test_a_newer_release_that_migrates_under_an_open_store(tmp_path: Path) -> None:
    path = tmp_path / "app.db"

    async def main() -> None:
        async with opened(path) as store:
            await committed(store, Unit(marks=[mark(1)]))
            newer = sqlite3.connect(path, isolation_level=None)
            newer.execute("update catga_schema set version = 99")

            async def nothing(connection: object) -> None:
                raise AssertionError("the handler must not be called")

            for write in (
                store.commit([Unit(marks=[mark(2)])]),
                store.commit([Unit(marks=[mark(2, "a new handler")])]),
                store.claim(CHANNEL, "a", 16, 10.0),
                store.declare(["a new name"]),
                store.exclusive(nothing, lambda _: Unit()),
            ):
                with pytest.raises(SchemaMismatch) as raised:
                    await write
                assert "restart" in raised.value.fix
            assert newer.execute("select count(*) from catga_marks").fetchone() == (1,)
            newer.close()

    asyncio.run(main())


# -- fork -------------------------------------------------------------------------------------------------------------

FORK = """
import asyncio, os, sys, warnings
from pathlib import Path
from catga.errors import AppClosed
from catga.ports import Unit
from catga.testing.conformance.base import CHANNEL, mark
from tests.integration.sqlite import opened, store_on

warnings.simplefilter("ignore", DeprecationWarning)

async def in_child(store, consumer):
    refused = 0
    calls = [
        lambda: store.commit([Unit(marks=[mark(2)])]), lambda: store.fetch("select 1", ()),
        lambda: store.pending(), lambda: store.known({}), lambda: store.claim(CHANNEL, "b", 16, 1.0),
        lambda: store.due(CHANNEL, [0], 1, 1), lambda: consumer.receive(10, 0.0),
    ]
    for call in calls:
        try:
            await asyncio.wait_for(call(), 5)
        except AppClosed as error:
            refused += "forked" in str(error)
    await asyncio.wait_for(store.close(), 5)
    async with opened(Path(sys.argv[1])) as own:
        await own.commit([Unit(marks=[mark(3)])])
    os._exit(0 if refused == len(calls) else 1)

async def main():
    async with opened(Path(sys.argv[1])) as store:
        await store.fetch("select 1", ())
        consumer = await store.queue().consume(CHANNEL, "a", store)
        child = os.fork()
        if child == 0:
            asyncio.run(in_child(store, consumer))
        while (done := os.waitpid(child, os.WNOHANG)) == (0, 0):
            await asyncio.sleep(0.01)
        print("child", os.waitstatus_to_exitcode(done[1]))
        outcomes = await store.commit([Unit(marks=[mark(1)]), Unit(marks=[mark(3)])])
        print("parent", [outcome.commit.value for outcome in outcomes])
        await consumer.stop()

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_told_and_may_open_its_own(tmp_path: Path) -> None:
    done = python(FORK, tmp_path / "app.db")
    assert done.stdout.splitlines() == ["child 0", "parent ['committed', 'duplicate']"], done.stderr


ORPHAN = """
import asyncio, os, signal, sys, time, warnings
from pathlib import Path
from catga.ports import Unit
from tests.integration.sqlite import opened

warnings.simplefilter("ignore", DeprecationWarning)

async def main():
    async with opened(Path(sys.argv[1])) as store:
        async def work(connection):
            child = os.fork()
            if child == 0:
                os.close(1), os.close(2)
                time.sleep(20)
                os._exit(0)
            print(child, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        await store.exclusive(work, lambda _: Unit())

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_of_a_killed_process_keeps_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    done = python(ORPHAN, path)
    child = int(done.stdout)

    async def main() -> None:
        async with asyncio.timeout(5), opened(path) as store:
            await committed(store, Unit(marks=[mark(1)]))

    try:
        asyncio.run(main())
    finally:
        os.kill(child, 9)


# -- others in the file -----------------------------------------------------------------------------------------------


def test_a_foreign_writer_is_waited_for(tmp_path: Path) -> None:
    """Somebody who does not know the gate, for a while."""

    async def main() -> None:
        path = tmp_path / "app.db"
        async with opened(path, lock_timeout=10.0) as store:
            foreign = sqlite3.connect(path, isolation_level=None)
            foreign.execute("begin immediate")
            waiting = asyncio.ensure_future(store.commit([Unit(marks=[mark(1)])]))
            turns = 0
            for _ in range(20):
                await asyncio.sleep(0.01)
                turns += 1
            assert turns == 20
            assert not waiting.done()
            assert await marked(store, 1) == []
            foreign.execute("commit")
            assert fates(await waiting) == [Commit.COMMITTED]
            foreign.close()

    asyncio.run(main())


def test_a_foreign_writer_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "app.db"
        async with opened(path, lock_timeout=0.2) as store, opened(path, lock_timeout=0.2) as other:
            foreign = sqlite3.connect(path, isolation_level=None)
            foreign.execute("begin immediate")

            async def work(connection: object) -> None:
                raise AssertionError("the handler must not be called")

            for write in (
                lambda: store.commit([Unit(marks=[mark(1)])]),
                lambda: other.claim(CHANNEL, "a", 16, 10.0),
                lambda: store.exclusive(work, lambda _: Unit()),
                lambda: store.declare(["a new name"]),
                lambda: other.commit([Unit(marks=[mark(1, "a new handler")])]),
            ):
                before = time.monotonic()
                with pytest.raises(StoreUnavailable) as raised:
                    await write()
                assert time.monotonic() - before >= 0.2
                assert "lock" in str(raised.value)
            foreign.execute("commit")
            foreign.close()
            await committed(store, Unit(marks=[mark(1)]))
            await committed(other, Unit(marks=[mark(2)]))

    asyncio.run(main())


def test_a_foreign_writer_at_opening(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    asyncio.run(fill(path, 1))
    foreign = sqlite3.connect(path, isolation_level=None)
    foreign.execute("begin immediate")
    refused(path, StoreUnavailable, lock_timeout=0.2)
    foreign.execute("rollback")
    foreign.close()
    asyncio.run(_use(path))


async def _use(path: Path) -> None:
    async with opened(path) as store:
        await committed(store, Unit(marks=[mark(999)]))


def test_a_store_opened_while_another_of_the_same_loop_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "app.db"

    async def main() -> None:
        async with opened(path) as first:
            opening = asyncio.Event()

            async def work(connection: object) -> None:
                opening.set()
                await asyncio.sleep(0.1)

            exclusive = asyncio.ensure_future(first.exclusive(work, lambda _: Unit()))
            await opening.wait()
            async with asyncio.timeout(5), opened(path) as second:
                await committed(second, Unit(marks=[mark(1)]))
            await exclusive

    asyncio.run(main())


def test_a_mistake_at_opening_can_be_mended(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "app.db"

    async def main() -> None:
        store = store_on(path)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await store.open()
        path.parent.mkdir()
        await store.open()
        await store.declare([CHANNEL])
        await committed(store, Unit())
        await store.close()

    asyncio.run(main())


# -- numbers that run out ---------------------------------------------------------------------------------------------


def test_when_turns_run_out_nothing_is_taken_in_and_the_rest_is_handled(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "app.db") as store:
            transport = store.queue()
            await transport.open()
            consumer = await transport.consume(CHANNEL, "a", store)
            await committed(store, Unit(publish=[message(1)]))
            await store.write(lambda connection: connection.execute("update catga_turns set last = ?", (TURNS - 2,)))
            await committed(store, Unit(publish=[message(2)]))
            with pytest.raises(StoreFull, match="as many messages as it can"):
                await store.commit([Unit(publish=[message(3)])])
            with pytest.raises(StoreFull):
                await transport.publish([message(4)])
            found = await consumer.receive(10, 0.0)
            assert [delivery.frame for delivery in found] == [b"1", b"2"]
            await committed(store, Unit(settle=[delivery.token for delivery in found], marks=[mark(1), mark(2)]))
            assert await store.pending() == 0
            await consumer.stop()
            await transport.close()

    asyncio.run(main())


def test_when_names_run_out_new_ones_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "app.db") as store:
            store.queue()
            await store.write(
                lambda connection: connection.execute("insert into catga_names values (?, 'last')", (NAMES - 1,))
            )
            with pytest.raises(StoreFull, match="as many channels and handlers"):
                await store.declare(["one more"])
            await store.declare(["last"])
            await committed(store, Unit(publish=[message(1, part=15, priority=0), message(2, channel="last", part=15)]))
            assert await store.pending() == 2
            with pytest.raises(StoreFull):
                await store.rename({"last": "the very last"})
            assert await store.pending() == 2

    asyncio.run(main())
