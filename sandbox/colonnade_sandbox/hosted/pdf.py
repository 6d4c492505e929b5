"""The smallest PDF that shows two columns of text."""

from collections.abc import Iterable, Sequence

# A4 in points, and the rows that fit on a page.
WIDTH, HEIGHT, MARGIN, LEADING, ROWS = 595, 842, 56, 20, 36


def document(rows: Sequence[tuple[str, str]]) -> bytes:
    """A page for every 36 rows; characters outside Windows-1252 become question marks."""
    pages = [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)] or [[]]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, page in enumerate(pages):
        content = _content(page)
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    return _file(objects)


def _content(rows: Iterable[tuple[str, str]]) -> bytes:
    parts = [b"BT /F1 11 Tf"]
    for number, (left, right) in enumerate(rows):
        height = HEIGHT - MARGIN - LEADING * (number + 1)
        for x, text in ((MARGIN, left), (WIDTH - MARGIN - 120, right)):
            parts.append(b"1 0 0 1 %d %d Tm (%s) Tj" % (x, height, _escaped(text)))
    return b"\n".join([*parts, b"ET"])


def _escaped(text: str) -> bytes:
    raw = text.replace("\N{MINUS SIGN}", "-").encode("cp1252", "replace")
    return raw.replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)")


def _file(objects: Sequence[bytes]) -> bytes:
    """Objects numbered from one, then the table of where each begins."""
    body, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(body))
    return bytes(body) + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + trailer
