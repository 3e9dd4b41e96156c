"""Everything that is measured, and what the figures have to hold: on uvloop, unless said otherwise."""

from benches import frames, fresh, handover, ids, measures, mediator, pipeline, queues, timers
from benches.runner import Bar, Group

_SUBJECTS: list[list[Group]] = [
    *(mediator.GROUPS, pipeline.GROUPS, queues.GROUPS, handover.GROUPS, timers.GROUPS),
    *(ids.GROUPS, measures.GROUPS, frames.GROUPS, fresh.GROUPS),
]
GROUPS = {group.name: group for groups in _SUBJECTS for group in groups}

LANES = "catga Lanes, 64 at a time"
PRIORITY = "queue, priorities at depth 1,000"
GAP = "half of a million timers cancelled, longest gap"
STACKED = "python-cqrs, stamina, asyncio.timeout"

BARS = [
    Bar("send", "send", "catga send", "a dict by type, awaited", 1.5),
    Bar("send-context", "send", "catga send, Context", "a dict by type, awaited", 3),
    Bar("send-publish", "send", "catga send, Context, publish", "a dict by type, awaited", 4.5),
    Bar("three-middleware", "send, three middleware", "catga send, three middleware", "three closures by hand", 1.15),
    Bar("full-pipeline-task", "full pipeline", "catga, full pipeline", "one asyncio task", 0.5),
    Bar("full-pipeline-peer", "full pipeline", "catga, full pipeline", STACKED, 12, at_least=True),
    Bar("hand-over-deque", "thread to loop", "catga Ring", "deque, coalesced call_soon_threadsafe", 1.5),
    Bar("hand-over-janus", "thread to loop", "catga Ring", "janus", 8, at_least=True),
    Bar("batch", "queue, put and get", LANES, "asyncio.Queue, nowait", 5, at_least=True),
    Bar("batch-awaited", "queue, put and get", LANES, "asyncio.Queue, awaited", 5, at_least=True),
    Bar("priority", PRIORITY, "catga Lanes, one by one", "asyncio.PriorityQueue, nowait", 5, at_least=True),
    Bar("priority-batch", PRIORITY, LANES, "asyncio.PriorityQueue, nowait", 5, at_least=True),
    Bar("timers", "one million timers, put in and fired", "catga Timers", "loop.call_at", 5, at_least=True),
    Bar("timers-cancelled", GAP, "catga Timers", "loop.call_later", 1 / 20, loop="asyncio"),
    Bar("ids", "ids", "catga Ids, with the clock", "uuid_utils.uuid7, bytes", 1.15),
    Bar("histogram", "histogram", "catga Histogram", "the same in Python", 2, at_least=True),
    Bar("split", "split 1,000 frames", "catga split, 256 bytes", "struct, 256 bytes", 3, at_least=True),
    Bar("memory", "one million queued messages", "catga Lanes", "deque", 1.25),
    Bar("import", "import", "import catga, asyncio imported", "import asyncio", 1),
    Bar("import-foreign", "foreign modules imported", "import catga", None, 0),
]
