"""CloudEvents 1.0 at the edge: in binary and structured mode, to and from an app's messages."""

from catga.cloudevents.binary import read_binary, write_binary
from catga.cloudevents.bridge import CloudEvents, Received
from catga.cloudevents.event import CloudEvent
from catga.cloudevents.structured import STRUCTURED, read_structured, write_structured
from catga.errors import BadCloudEvent

__all__ = [
    "STRUCTURED",
    "BadCloudEvent",
    "CloudEvent",
    "CloudEvents",
    "Received",
    "read_binary",
    "read_structured",
    "write_binary",
    "write_structured",
]
