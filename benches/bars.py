"""What the figures of one run have to hold, on uvloop unless said otherwise."""

from benches.runner import Bar

BARS = [
    Bar("send", "send", "catga send", "await table[type(m)](m)", 1.5),
    Bar("send-context", "send", "catga send, Context", "await table[type(m)](m)", 3),
    Bar("send-publish", "send", "catga send, Context, publish", "await table[type(m)](m)", 4.5),
    Bar("three-middleware", "send, three middleware", "catga send, three middleware", "three closures by hand", 1.15),
    Bar("full-pipeline-task", "full pipeline", "catga, full pipeline", "one asyncio task", 0.5),
    Bar(
        "full-pipeline-peer",
        "full pipeline",
        "catga, full pipeline",
        "python-cqrs, stamina, asyncio.timeout",
        12,
        at_least=True,
    ),
]
