"""What `from catga import …` offers; a change here is a change for users."""

import inspect
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import catga
import catga.ports
from catga import Batch, Catga, Context, Queue, Receipt, Retry, middleware
from catga.delivery.failures import Failure

PUBLIC = [
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

PORTS = [
    "PARTS",
    "Blobs",
    "Capabilities",
    "Commit",
    "Consumer",
    "Delivery",
    "Lease",
    "Mark",
    "MarkState",
    "Outcome",
    "Outgoing",
    "Parked",
    "ParkedState",
    "Sent",
    "Settle",
    "Settled",
    "Share",
    "Store",
    "Transport",
    "Unit",
    "Waiting",
]


def test_the_import_everybody_writes() -> None:
    assert catga.__all__ == PUBLIC
    assert all(hasattr(catga, name) for name in PUBLIC)


def test_what_backends_are_written_against() -> None:
    assert catga.ports.__all__ == PORTS
    assert all(hasattr(catga.ports, name) for name in PORTS)


def test_everything_public_is_explained() -> None:
    silent = [name for name in PUBLIC if name not in {"__version__", "Result"} and not getattr(catga, name).__doc__]
    assert silent == []


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """By name, of those that have one."""
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not inspect.Parameter.empty}


def test_what_is_not_said_means_what_the_pages_say() -> None:
    assert Batch() == Batch(size=100, wait=1.0, bytes=4 * 1024 * 1024)
    assert Queue() == Queue(capacity=10_000, policy="block", concurrency=16, strict=False, aging=1.0)
    assert Retry() == Retry(immediate=0, delayed=5, first=1.0, factor=2.0, most=300.0, jitter=0.5, on=(Exception,))
    app = defaults(Catga.__init__)
    assert (app["concurrency"], app["window_days"], app["stop_within"]) == (16, 7, 30.0)
    assert defaults(middleware.Idempotency) == {"key": None, "size": 10_000, "ttl": 3600.0}
    assert defaults(middleware.Retry) == {"immediate": 2, "on": (Exception,)}
    assert defaults(middleware.Tracing) == {"rate": 0.01, "entropy": None}
    assert defaults(middleware.Logging) == {"logger": None, "successes": False}


@pytest.mark.parametrize("cls", [Batch, Queue, Retry, Receipt, Failure, middleware.Span])
def test_what_is_given_out_cannot_be_changed(cls: type[msgspec.Struct]) -> None:
    assert cls.__struct_config__.frozen


def test_contexts_are_told_apart() -> None:
    app = Catga("a")
    assert Context(app) != Context(app)
