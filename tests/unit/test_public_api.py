"""What `from catga import …` offers; a change here is a change for users."""

import catga
import catga.ports

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
    "Message",
    "Ok",
    "Query",
    "Queue",
    "Receipt",
    "Result",
    "Retry",
    "Router",
    "StreamQuery",
    "SystemClock",
    "Transaction",
    "__version__",
    "build_info",
    "is_ok",
]

PORTS = [
    "PARTS",
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
