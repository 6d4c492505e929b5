"""Whether a brand's colours can be told apart where Stripe's pages put them beside each other (WCAG 2.2)."""

from msgspec import Struct

from colonnade_portal_page import colours

TEXT, SHAPE = 4.5, 3.0
"""Least ratios: of normal text (success criterion 1.4.3), of a button's shape and the like (1.4.11)."""


class Contrast(Struct, frozen=True):
    """*ratio* is from 1 to 21. One that is not *enough* is no error: *meaning* says what visitors will see."""

    field: str
    against: str
    ratio: float
    needed: float
    enough: bool
    meaning: str


def of(primary: str | None, secondary: str | None) -> list[Contrast]:
    """What stands beside what on the pages; colours as `#rrggbb`."""
    found = []
    if primary is not None:
        found.append(_one("primary_color", primary, "white", "#ffffff", SHAPE, "Its buttons stand on white."))
        found.append(_one("primary_color", primary, *_text(primary), TEXT, "The text on it; the page chooses that."))
    if secondary is not None:
        found.append(_one("secondary_color", secondary, *_text(secondary), TEXT, "The text on it, likewise."))
    if primary is not None and secondary is not None:
        meaning = "They meet at the page's edge and behind the initial that stands for a missing icon."
        found.append(_one("secondary_color", secondary, "primary_color", primary, SHAPE, meaning))
    return found


def _one(field: str, colour: str, against: str, other: str, needed: float, meaning: str) -> Contrast:
    ratio = colours.contrast(colour[1:], other[1:])
    # Shown rounded down, so that a ratio which is not enough never looks as if it were.
    return Contrast(field, against, int(ratio * 100) / 100, needed, ratio >= needed, meaning)


def _text(background: str) -> tuple[str, str]:
    text = colours.on(background[1:])
    return ("white" if text == colours.WHITE else "black"), f"#{text}"
