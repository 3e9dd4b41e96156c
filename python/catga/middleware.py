"""Middleware that come with Catga, in the order that usually serves best, outermost first.

>>> from catga import Catga
>>> from catga.middleware import Idempotency, Metrics, Retry, Timeout, Tracing, Validation
>>> metrics = Metrics()
>>> layers = (Tracing(print), metrics, Validation(), Idempotency(), Retry(2), Timeout(5))
>>> app = Catga("shop", middleware=layers)
"""

from catga.mediator.builtin import Idempotency, Logging, Metrics, Retry, Span, Timeout, Tracing, Validation

__all__ = ["Idempotency", "Logging", "Metrics", "Retry", "Span", "Timeout", "Tracing", "Validation"]
