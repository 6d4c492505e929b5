"""Images as Stripe checks them: their type and their size in pixels, read from the file's own header."""

TYPES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"GIF8": "gif"}
MEDIA_TYPES = {"png": "image/png", "jpg": "image/jpeg", "gif": "image/gif"}
# The markers that begin a JPEG's frame and hold its size; C4, C8 and CC among them mean other things.
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def kind(content: bytes) -> str | None:
    return next((name for magic, name in TYPES.items() if content.startswith(magic)), None)


def size(content: bytes) -> tuple[int, int] | None:
    """Width and height in pixels; None where the header does not tell."""
    match kind(content):
        case "png" if content[12:16] == b"IHDR" and len(content) >= 24:
            return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])
        case "gif" if len(content) >= 10:
            return int.from_bytes(content[6:8], "little"), int.from_bytes(content[8:10], "little")
        case "jpg":
            return _jpeg_size(content)
    return None


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """The size is in the first frame; the segments before it are passed over by their length."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4])
        if marker in FRAMES:
            return int.from_bytes(content[at + 7 : at + 9]), int.from_bytes(content[at + 5 : at + 7])
        at += 2 + length
    return None
