"""Frames by ``struct`` and a bitwise CRC: the wire form said a second time, from its page alone."""

import struct
from dataclasses import dataclass

HEADER = struct.Struct("<H6B16sqqqHHHHIII")


def crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Frame:
    kind: int
    flags: int
    codec: int
    priority: int
    schema_version: int
    id: bytes
    created_ms: int
    due_ms: int
    deadline_ms: int
    type: str
    key: bytes | None
    ext: bytes | None
    payload: bytes

    def bytes(self) -> bytes:
        name = self.type.encode()
        head = HEADER.pack(
            0xC47A,
            1,
            self.kind,
            self.flags,
            self.codec,
            0,
            self.priority,
            self.id,
            self.created_ms,
            self.due_ms,
            self.deadline_ms,
            self.schema_version,
            len(name),
            0xFFFF if self.key is None else len(self.key),
            0,
            0xFFFFFFFF if self.ext is None else len(self.ext),
            len(self.payload),
            0,
        )[:64]
        body = name + (self.key or b"") + (self.ext or b"") + self.payload
        return head + crc32c(head + body).to_bytes(4, "little") + body
