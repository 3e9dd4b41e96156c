"""What NATS answers, as our errors."""

import nats.errors
import nats.js.errors

from catga.errors import CatgaError, TransportMismatch, TransportUnavailable


def transport_error(error: BaseException, where: str) -> CatgaError:
    """The broker, or the way to it."""
    if isinstance(error, CatgaError):
        return error
    if isinstance(error, nats.errors.AuthorizationError) or "authorization" in str(error).lower():
        why, fix = "it refused the user, the password or the token", "check them in the URL"
    elif isinstance(error, nats.js.errors.NoStreamResponseError):
        why, fix = "nobody keeps this subject: JetStream is off, or the stream is gone", "start nats-server with -js"
    elif isinstance(error, nats.js.errors.ServiceUnavailableError):
        why, fix = (
            "JetStream is off, or not up yet",
            "start nats-server with -js; if it was, the work goes on by itself",
        )
    else:
        why, fix = (
            str(error) or type(error).__name__,
            "check that it runs and can be reached; the work goes on when it answers again",
        )
    return TransportUnavailable("NATS cannot be used", where=where, why=why, fix=fix)


def mismatch(stream: str, mistakes: list[str], where: str) -> TransportMismatch:
    """A stream that is there already, and would break promises."""
    return TransportMismatch(
        f"stream {stream} cannot keep what is promised: {', '.join(mistakes)}",
        where=where,
        why="it was made with other settings",
        fix="change the stream (`nats stream edit`), or name another prefix (?prefix=)",
    )
