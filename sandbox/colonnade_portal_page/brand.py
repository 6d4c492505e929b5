"""A business as its customers see it: name, images, colours that stay readable."""

import re
from dataclasses import dataclass

from colonnade_portal_page import colours

PLAIN_PRIMARY = "1f2a44"
NAMELESS = "This business"


@dataclass(frozen=True, slots=True)
class Brand:
    """Colours are six hex digits without `#`; `icon` and `logo` are what an image's `src` may be."""

    name: str
    icon: str | None = None
    logo: str | None = None
    primary: str = PLAIN_PRIMARY
    secondary: str = "4c5569"
    support_email: str | None = None
    support_phone: str | None = None
    support_url: str | None = None

    @property
    def initial(self) -> str:
        return self.name[:1].upper()


def palette(primary: str | None, secondary: str | None) -> tuple[str, str]:
    """A brand's two colours as six digits; one that is not given is filled in."""
    first = _colour(primary) or PLAIN_PRIMARY
    return first, _colour(secondary) or colours.tint(first)


def _colour(value: str | None) -> str | None:
    found = re.fullmatch(r"#?([0-9a-f]{6}|[0-9a-f]{3})", (value or "").lower())
    if found is None:
        return None
    digits = found[1]
    return digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)


def css(primary: str, secondary: str) -> str:
    """The custom properties that the stylesheet builds on."""
    values = {
        "brand": primary,
        "on-brand": colours.on(primary),
        "accent": colours.on_white(primary),
        "second": secondary,
        "on-second": colours.on(secondary),
    }
    return ":root{" + "".join(f"--{name}:#{value};" for name, value in values.items()) + "}\n"
