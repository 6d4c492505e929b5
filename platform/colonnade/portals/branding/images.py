"""Icons and logos as they arrive: looked into, decoded, and written anew, so that nothing of an upload is passed on.

Source of the limits: Stripe's "Branding your Stripe account" and "File upload guide"; API reference, "Update an
account". What else a file holds (text, a second file behind the picture, EXIF, colour profiles) ends here.
"""

import asyncio
import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from msgspec import Struct
from PIL import Image, ImageOps

from colonnade.errors import Invalid

Kind = Literal["icon", "logo"]
KINDS: tuple[Kind, ...] = ("icon", "logo")

LARGEST_FILE = 512 * 1024
"""Bytes, of an upload and of what is made of it."""
LEAST, LARGEST = 128, 4096
"""Pixels of a side."""
KEPT = 1024
"""Pixels of the longer side of what is made, unless the shorter one would fall below `LEAST`."""

_FORMATS = ("PNG", "JPEG", "GIF")
# The library warns of pictures far larger than ours may be, and only warns.
Image.MAX_IMAGE_PIXELS = None
# Decoding is work for a processor, and 64 MiB for a picture of the largest size: a few at once are enough.
_DECODERS = ThreadPoolExecutor(2, "pictures")


class BrandImage(Struct, frozen=True):
    """A picture as it is kept and as Stripe gets it: a PNG."""

    content: bytes
    width: int
    height: int

    @property
    def digest(self) -> bytes:
        """SHA-256 of the PNG."""
        return hashlib.sha256(self.content).digest()


async def accepted(content: bytes, kind: Kind) -> BrandImage:
    """What is made of an upload. Raises `Invalid` for one that is no picture of this *kind*."""
    return await asyncio.get_running_loop().run_in_executor(_DECODERS, remade, content, kind)


def remade(content: bytes, kind: Kind) -> BrandImage:
    """As `accepted`, in this thread."""
    if not content:
        raise Invalid("Send the picture as the request's body.", kind)
    if len(content) > LARGEST_FILE:
        raise Invalid(f"The file has more than {LARGEST_FILE // 1024} KB.", kind)
    picture = _decoded(content, kind)
    width, height = picture.size
    if min(width, height) < LEAST:
        raise Invalid(f"It is {width} by {height} pixels; at least {LEAST} by {LEAST} are needed.", kind)
    if kind == "icon" and width != height:
        raise Invalid(f"An icon is square; this is {width} by {height} pixels.", kind)
    return _written(picture, kind)


def _decoded(content: bytes, kind: Kind) -> Image.Image:
    """The picture alone, upright, as RGB or RGBA. Its size is known before a pixel is decoded."""
    try:
        found = Image.open(io.BytesIO(content), formats=_FORMATS)
    except Exception as error:  # hostile bytes make decoders raise all sorts of things
        raise Invalid("This is not a PNG, JPEG or GIF picture.", kind) from error
    if max(found.size) > LARGEST:
        width, height = found.size
        raise Invalid(f"It is {width} by {height} pixels; at most {LARGEST} by {LARGEST} are taken.", kind)
    try:
        # A JPEG with several pictures holds the same one in other sizes.
        if found.format in ("PNG", "GIF") and getattr(found, "is_animated", False):
            raise Invalid("This picture moves: send a still one.", kind)
        found.load()
        return _plain(ImageOps.exif_transpose(found))
    except Invalid:
        raise
    except Exception as error:
        raise Invalid("The picture is damaged or not complete.", kind) from error


def _plain(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16 bits a pixel: converted as it is, what is brighter than 255 would be white
        picture = picture.convert("I").point(lambda level: level * (1 / 256)).convert("L")
    clear = picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info
    plain = picture.convert("RGBA" if clear else "RGB")
    # A new picture, without what the file said beside its pixels.
    bare = Image.new(plain.mode, plain.size)
    bare.paste(plain)
    return bare


def _written(picture: Image.Image, kind: Kind) -> BrandImage:
    """The picture as a PNG that Stripe takes; made smaller where it would be too large."""
    side = KEPT
    while True:
        smaller = _fitted(picture, side)
        file = io.BytesIO()
        smaller.save(file, "PNG")
        if len(file.getvalue()) <= LARGEST_FILE:
            return BrandImage(file.getvalue(), *smaller.size)
        if min(smaller.size) <= LEAST:
            raise Invalid(f"As a PNG it has more than {LARGEST_FILE // 1024} KB: send a simpler picture.", kind)
        # Bytes grow with the area; a little less than what then fits.
        side = int(max(smaller.size) * 0.95 * (LARGEST_FILE / len(file.getvalue())) ** 0.5)


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """At most *side* pixels long, but at least `LEAST` wide."""
    width, height = picture.size
    share = min(1, max(side / max(width, height), LEAST / min(width, height)))
    if share == 1:
        return picture
    size = max(LEAST, round(width * share)), max(LEAST, round(height * share))
    return picture.resize(size, Image.Resampling.LANCZOS)
