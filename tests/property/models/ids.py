"""What an id must be, whatever generator gave it; and Snowflake as one growing number."""

from dataclasses import dataclass


def ms_of(id: bytes) -> int:
    return int.from_bytes(id[:6], "big")


def is_uuid7(id: bytes) -> bool:
    return len(id) == 16 and id[6] >> 4 == 7 and id[8] >> 6 == 2


@dataclass
class Snowflake:
    node: int
    epoch_ms: int
    free: int = 0

    def next(self, now_ms: int) -> int:
        ticket = max(self.free, max(now_ms - self.epoch_ms, 0) * 4096)
        self.free = ticket + 1
        return ticket // 4096 << 22 | self.node << 12 | ticket % 4096
