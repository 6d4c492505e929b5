"""Pictures that come from outside: what is let in is written anew, and nothing else of the upload survives."""

import asyncio
import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from colonnade.errors import Invalid
from colonnade.portals.branding.images import KEPT, LARGEST, LARGEST_FILE, LEAST, Kind, accepted, remade

SECRET = b"<script>alert('secret')</script>"


def picture(
    kind: str = "PNG", size: tuple[int, int] = (160, 160), mode: str = "RGB", colour: Any = None, **how: Any
) -> bytes:
    """A file of one colour."""
    file = io.BytesIO()
    made = Image.new(mode, size, colour if colour is not None else "teal" if mode == "RGB" else 0)
    if mode == "P":
        made.putpalette([0, 0, 0, 0, 128, 128])
    made.save(file, kind, **how)
    return file.getvalue()


def noise(size: tuple[int, int], kind: str = "JPEG", **how: Any) -> bytes:
    """A picture that cannot be packed."""
    file = io.BytesIO()
    Image.effect_noise(size, 120).convert("RGB").save(file, kind, **how)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    """A part of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_that_claims(width: int, height: int, body: bytes = b"") -> bytes:
    """A PNG whose header says that size, whatever *body* holds."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def frames(kind: str) -> bytes:
    """A picture that moves."""
    file, (first, *rest) = io.BytesIO(), [Image.new("RGB", (160, 160), colour) for colour in ("red", "green", "blue")]
    first.save(file, kind, save_all=True, append_images=rest, duration=100)
    return file.getvalue()


def opened(content: bytes) -> Image.Image:
    """What a stranger's decoder makes of it."""
    found = Image.open(io.BytesIO(content))
    found.load()
    return found


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_each_format_becomes_a_png(kind: str, mode: str) -> None:
    made = remade(picture(kind, mode=mode, colour="teal" if mode == "RGB" else 90), "icon")
    found = opened(made.content)
    assert (found.format, found.size, found.mode) == ("PNG", (160, 160), "RGB")
    assert (made.width, made.height) == (160, 160)


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (0, 128, 128, 60)), ("LA", (90, 60)), ("P", 1)])
def test_what_is_clear_stays_clear(mode: str, colour: Any) -> None:
    how = {"transparency": 1} if mode == "P" else {}
    found = opened(remade(picture(mode=mode, colour=colour, **how), "logo").content)
    assert found.mode == "RGBA"
    assert found.getpixel((5, 5))[3] == (0 if mode == "P" else 60)  # type: ignore[index]


def test_print_colours_become_those_of_a_screen() -> None:
    found = opened(remade(picture("JPEG", mode="CMYK", colour=(0, 255, 255, 0)), "icon").content)
    red, green, blue = found.getpixel((80, 80))  # type: ignore[misc]
    assert (found.mode, red > 200, green < 60, blue < 60) == ("RGB", True, True, True)


def test_sixteen_bits_a_pixel_keep_their_brightness() -> None:
    file = io.BytesIO()
    Image.new("I;16", (160, 160), 0x8000).save(file, "PNG")
    (level, *_) = opened(remade(file.getvalue(), "icon").content).getpixel((5, 5))  # type: ignore[misc]
    assert 120 <= level <= 136


def test_a_picture_lying_on_its_side_is_set_upright_and_says_nothing_of_where_it_was_taken() -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    exif[0x010E] = SECRET.decode()
    Image.new("RGB", (300, 150), "teal").save(file, "JPEG", exif=exif.tobytes())
    made = remade(file.getvalue(), "logo")
    assert (made.width, made.height) == (150, 300)
    assert not opened(made.content).getexif()
    assert SECRET not in made.content


def test_text_and_colour_profiles_end_here() -> None:
    said = PngImagePlugin.PngInfo()
    said.add_text("Comment", SECRET.decode())
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made = remade(picture(pnginfo=said, icc_profile=profile), "icon")
    assert set(opened(made.content).info) == set()
    assert SECRET not in made.content


@pytest.mark.parametrize("behind", [SECRET, b"PK\x03\x04" + SECRET, b"%PDF-1.7 " + SECRET, b"\xff\xd9" + SECRET])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_a_second_file_behind_the_picture_is_gone(kind: str, behind: bytes) -> None:
    made = remade(picture(kind) + behind, "icon")
    assert made.content.endswith(b"IEND\xaeB`\x82")
    assert b"secret" not in made.content


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "Send the picture"),
        (b"hello", "not a PNG, JPEG or GIF"),
        (b"\x89PNG\r\n\x1a\n", "not a PNG, JPEG or GIF"),
        (b"GIF89a" + SECRET, "not a PNG, JPEG or GIF"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "not a PNG, JPEG or GIF"),
        (b"<?xml version='1.0'?><svg/>", "not a PNG, JPEG or GIF"),
        (b"%PDF-1.7", "not a PNG, JPEG or GIF"),
        (picture("BMP"), "not a PNG, JPEG or GIF"),
        (picture("TIFF"), "not a PNG, JPEG or GIF"),
        (picture("WEBP"), "not a PNG, JPEG or GIF"),
        (picture()[:200], "damaged"),
        (noise((300, 300))[:2000], "damaged"),
        (frames("GIF"), "moves"),
        (frames("PNG"), "moves"),
        (png_that_claims(50_000, 50_000), "at most 4096"),
        (png_that_claims(LARGEST + 1, 200), "at most 4096"),
        (png_that_claims(2048, 2048, zlib.compress(b"\0" * 100)), "damaged"),
        (picture(size=(LEAST - 1, LEAST - 1)), "at least 128"),
        (picture(size=(160, 161)), "square"),
        (noise((900, 900), "PNG"), "512 KB"),
        (picture() + b"\0" * LARGEST_FILE, "512 KB"),
    ],
)
def test_what_is_no_icon_is_refused_in_words(content: bytes, says: str) -> None:
    with pytest.raises(Invalid, match=says) as refused:
        remade(content, "icon")
    assert refused.value.param == "icon"


def test_a_text_that_unpacks_to_a_gigabyte_is_not_unpacked() -> None:
    packed = zlib.compress(b"\0" * 50_000_000, 9)
    whole = picture()
    bomb = whole[:33] + chunk(b"zTXt", b"Comment\0\0" + packed) + whole[33:]
    with pytest.raises(Invalid, match="not"):
        remade(bomb, "icon")


def test_the_limits_themselves_are_fine() -> None:
    assert remade(picture(size=(LEAST, LEAST)), "icon").width == LEAST
    made = remade(picture(size=(LARGEST, LEAST)), "logo")
    assert (made.width, made.height) == (LARGEST, LEAST)
    assert remade(picture(size=(LARGEST, LARGEST)), "icon").width == KEPT


def test_a_photograph_is_made_smaller_until_stripe_takes_it() -> None:
    made = remade(noise((1000, 1000), quality=20), "icon")
    assert len(made.content) <= LARGEST_FILE
    assert LEAST <= made.width == made.height < 1000


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_the_same_picture_again_is_the_same_bytes(kind: str) -> None:
    first = remade(picture(kind), "icon")
    assert remade(picture(kind), "icon").digest == first.digest
    assert remade(first.content, "icon").content == first.content


SAMPLES = [picture("PNG"), picture("JPEG"), picture("GIF"), noise((140, 140), quality=30), picture("PNG", mode="P")]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_a_changed_header_is_a_picture_or_refused_and_nothing_else(sample: bytes, data: st.DataObject) -> None:
    """Bytes of the header are changed, put in or left out."""
    changed = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(changed) - 1, 120)))
        match data.draw(st.sampled_from(["change", "put in", "leave out", "cut"])):
            case "change":
                changed[at] = data.draw(st.integers(0, 255))
            case "put in":
                changed[at:at] = data.draw(st.binary(min_size=1, max_size=8))
            case "leave out":
                del changed[at : at + data.draw(st.integers(1, 8))]
            case _:
                del changed[data.draw(st.integers(1, len(changed))) :]
        if not changed:
            break
    kind: Kind = data.draw(st.sampled_from(["icon", "logo"]))
    try:
        made = remade(bytes(changed), kind)
    except Invalid:
        return
    found = opened(made.content)
    assert (found.format, found.size) == ("PNG", (made.width, made.height))
    assert LEAST <= min(found.size) <= max(found.size) <= LARGEST
    assert len(made.content) <= LARGEST_FILE
    assert found.mode in ("RGB", "RGBA")


async def test_several_at_once_are_decoded_beside_the_event_loop() -> None:
    made = await asyncio.gather(*(accepted(picture(size=(1000, 1000)), "icon") for _ in range(6)))
    assert {image.width for image in made} == {1000}
