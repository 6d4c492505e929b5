"""A PNG made without an image library: the demo tenants' icons."""

import struct
import zlib

SIZE = 128


def icon(primary: str, secondary: str) -> bytes:
    """A disc of *secondary* (`#rrggbb`) on *primary*, 128 by 128 pixels: Stripe's least size for an icon."""
    ground, disc = bytes.fromhex(primary[1:]), bytes.fromhex(secondary[1:])
    middle, radius = (SIZE - 1) / 2, SIZE * 0.3
    rows = bytearray()
    for y in range(SIZE):
        rows.append(0)  # filter: none
        for x in range(SIZE):
            rows += disc if (x - middle) ** 2 + (y - middle) ** 2 <= radius**2 else ground
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
