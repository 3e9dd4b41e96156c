"""Real servers for tests, demos and benchmarks, started from pip wheels: no root, no containers, any free port.

>>> from catga.testing.servers import Nats
>>> with Nats() as server:  # doctest: +SKIP
...     print(server.url)
nats://127.0.0.1:41873
"""

from catga.testing.servers.keeper import shared
from catga.testing.servers.nats import Nats
from catga.testing.servers.postgres import Postgres
from catga.testing.servers.server import Server
from catga.testing.servers.valkey import Valkey

__all__ = ["Nats", "Postgres", "Server", "Valkey", "shared"]
