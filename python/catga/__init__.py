"""Catga: a messaging core for latency-sensitive Python services.

One import gives the mediator and durable delivery; every technology beyond SQLite is an extra, imported when its URL is
used.
"""

from catga._core import build_info
from catga.app import Catga, Feature
from catga.clock import Clock, Entropy, SystemClock
from catga.context import Context
from catga.delivery.delivery import Receipt
from catga.envelope import Headers, Signing, Wire
from catga.errors import CatgaError, ConfigurationError
from catga.mediator.handlers import Batch, Retry
from catga.mediator.local import Queue
from catga.mediator.router import Router
from catga.messages import Command, Event, Message, Query, StreamQuery
from catga.result import Err, Ok, Result, is_ok
from catga.transaction import Connection, Transaction

__version__ = build_info()["version"]

__all__ = [
    "Batch",
    "Catga",
    "CatgaError",
    "Clock",
    "Command",
    "ConfigurationError",
    "Connection",
    "Context",
    "Entropy",
    "Err",
    "Event",
    "Feature",
    "Headers",
    "Message",
    "Ok",
    "Query",
    "Queue",
    "Receipt",
    "Result",
    "Retry",
    "Router",
    "Signing",
    "StreamQuery",
    "SystemClock",
    "Transaction",
    "Wire",
    "__version__",
    "build_info",
    "is_ok",
]
