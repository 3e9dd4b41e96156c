"""What tests of applications and of backends need: virtual time, and the suites that every backend must pass."""

from catga.testing.clock import PatientClock, SteeredClock, VirtualClock
from catga.testing.loop import IdleLoop, run

__all__ = ["IdleLoop", "PatientClock", "SteeredClock", "VirtualClock", "run"]
