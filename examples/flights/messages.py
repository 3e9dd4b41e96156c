"""What is said about flights."""

from catga import Command, Event


class RecordDeparture(Command, key="flight"):
    """A departure as the airport reported it; `delay` is minutes, None where the flight did not leave."""

    number: int
    flight: str
    carrier: str
    tail: str | None
    origin: str
    dest: str
    scheduled: str
    delay: int | None


class FlightDeparted(Event, key="flight"):
    """It left on time, or early."""

    number: int
    flight: str
    carrier: str


class FlightDelayed(Event, key="flight"):
    """It left late, by `minutes`."""

    number: int
    flight: str
    carrier: str
    minutes: int


class FlightCancelled(Event, key="flight"):
    """It did not leave."""

    number: int
    flight: str
    carrier: str


class RebookPassengers(Command, priority=0):
    """Somebody waits at a gate: first in every queue."""

    number: int
    flight: str
