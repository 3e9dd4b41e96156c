"""Everything that is measured between processes, and what the figures have to hold."""

from benches.durable import nats, postgres, redis
from benches.runner import Bar, Group

_SUBJECTS: list[list[Group]] = [nats.GROUPS, postgres.GROUPS, redis.GROUPS]
GROUPS = {group.name: group for groups in _SUBJECTS for group in groups}

CORE, PUBLISH, JETSTREAM = "NATS core, publish to handler", "JetStream, publish", "JetStream, durable consume"
ENQUEUE, QUEUE, RELAY = "PostgreSQL, enqueue", "PostgreSQL, durable consume", "PostgreSQL, relay"
STREAMS = "Redis streams, durable consume"
OURS = "catga, durable consume"

BARS = [
    # A share of the raw client's rate is a bound on our time: 75 % of the rate is 1 / 0.75 of the time.
    Bar("nats-core", CORE, "catga", "raw callback", 1 / 0.75),
    Bar("nats-core-peer", CORE, "catga", "FastStream", 8, at_least=True),
    Bar("jetstream-publish", PUBLISH, "catga, publish", "windowed publish, raw", 1 / 0.9),
    Bar("jetstream-consume", JETSTREAM, OURS, "fetch and ack, raw", 1 / 0.5),
    Bar("jetstream-consume-peer", JETSTREAM, OURS, "FastStream, ack after handling", 5, at_least=True),
    Bar("postgres-enqueue", ENQUEUE, "catga, enqueue within", "two inserts, raw", 1 / 0.8),
    Bar("postgres-relay", RELAY, "catga, relay", "read and remove the same rows, raw", 1 / 0.5),
    Bar("postgres-consume", QUEUE, OURS, "a batched dedupe insert, raw", 1 / 0.2),
    Bar("redis-consume", STREAMS, OURS, "XREADGROUP and XACK, raw", 1 / 0.25),
    Bar("redis-consume-peer", STREAMS, OURS, "FastStream, stream subscriber", 8, at_least=True),
]
