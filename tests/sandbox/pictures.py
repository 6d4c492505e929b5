"""Small image files of any size in pixels."""

import struct
import zlib


def png(width: int = 128, height: int = 128) -> bytes:
    """A black picture."""
    rows = (b"\0" + bytes(width)) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def gif(width: int, height: int) -> bytes:
    """The header alone, which is all that anyone reads here."""
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0;"


def jpeg(width: int, height: int) -> bytes:
    """A comment, then the header of the frame."""
    comment = b"\xff\xfe" + struct.pack(">H", 6) + b"text"
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    return b"\xff\xd8" + comment + frame + b"\xff\xd9"
