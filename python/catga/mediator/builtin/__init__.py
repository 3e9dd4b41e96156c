"""The middleware that come with Catga; public as `catga.middleware`.

Each composes its own layer, and a layer that needs no coroutine of its own is a plain function that hands on the next
one's.
"""

from catga.mediator.builtin.idempotency import Idempotency
from catga.mediator.builtin.logging import Logging
from catga.mediator.builtin.metrics import Metrics
from catga.mediator.builtin.retry import Retry
from catga.mediator.builtin.timeout import Timeout
from catga.mediator.builtin.tracing import Span, Tracing
from catga.mediator.builtin.validation import Validation

__all__ = ["Idempotency", "Logging", "Metrics", "Retry", "Span", "Timeout", "Tracing", "Validation"]
