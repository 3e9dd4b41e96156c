"""A server that is killed or paused takes its children with it: what they were doing is not done in peace."""

import asyncio

import asyncpg
import pytest

from catga.testing.servers import Postgres
from catga.testing.servers.family import family, lives

LONG = "insert into slow select count(*) from generate_series(1, 2000000000)"
"""Minutes of work without a look at anything else."""


async def test_children_of_a_killed_server_end_in_the_middle_of_their_work() -> None:
    with Postgres() as own:
        connection = await asyncpg.connect(own.url)
        await connection.execute("create table slow (n bigint)")
        work = asyncio.ensure_future(connection.execute(LONG))
        await asyncio.sleep(0)
        members = family(own.pid)
        assert len(members) > 2
        own.kill()
        assert not [pid for pid in members if lives(pid)]
        with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
            await work
        own.start()
        again = await asyncpg.connect(own.url)
        assert await again.fetchval("select count(*) from slow") == 0
        await again.close()


async def test_children_of_a_paused_server_stand_still() -> None:
    with Postgres() as own:
        connection = await asyncpg.connect(own.url)
        assert await connection.fetchval("select 1") == 1
        own.pause()
        question = asyncio.ensure_future(connection.fetchval("select 2"))
        done, _ = await asyncio.wait([question], timeout=0.3)
        assert not done
        own.resume()
        assert await question == 2
        await connection.close()
