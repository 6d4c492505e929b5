"""A business as its customers see it: name, images, colours that stay readable."""

import re
from dataclasses import dataclass

from colonnade_sandbox.sandbox import Sandbox
from colonnade_sandbox.store import Object

PLAIN_PRIMARY, WHITE, BLACK = "1f2a44", "ffffff", "000000"
# WCAG 2.2, success criterion 1.4.3: normal text on its background.
READABLE = 4.5


@dataclass(frozen=True, slots=True)
class Brand:
    """Colours are six hex digits without `#`; `icon` and `logo` are paths on this server."""

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

    @property
    def stylesheet(self) -> str:
        return f"/p/brand/{self.primary}-{self.secondary}.css"

    @property
    def tile(self) -> str:
        """What a browser's tab shows where there is no icon."""
        return f"/p/brand/{self.primary}.svg"


def of(account: Object) -> Brand:
    """The public face of an account; what it has not told is filled in."""
    profile, settings = account["business_profile"] or {}, account["settings"] or {}
    branding = settings.get("branding") or {}
    primary = _colour(branding.get("primary_color")) or PLAIN_PRIMARY
    return Brand(
        name=profile.get("name") or settings.get("dashboard", {}).get("display_name") or "This business",
        icon=_image(branding.get("icon")),
        logo=_image(branding.get("logo")),
        primary=primary,
        secondary=_colour(branding.get("secondary_color")) or tint(primary),
        support_email=profile.get("support_email"),
        support_phone=profile.get("support_phone"),
        support_url=profile.get("support_url"),
    )


def of_account(sandbox: Sandbox, account: str) -> Brand:
    """The brand of an account by its id; a plain one where it is gone."""
    return of(sandbox.store.find(account, "account", account) or {"business_profile": {}, "settings": {}})


def _image(file: str | None) -> str | None:
    return f"/files/{file}/contents" if file else None


def _colour(value: str | None) -> str | None:
    found = re.fullmatch(r"#?([0-9a-f]{6}|[0-9a-f]{3})", (value or "").lower())
    if found is None:
        return None
    digits = found[1]
    return digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)


def luminance(colour: str) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2)."""
    channels = []
    for place in (0, 2, 4):
        share = int(colour[place : place + 2], 16) / 255
        channels.append(share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4)
    red, green, blue = channels
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio, 1 to 21 (WCAG 2.2)."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def on(background: str) -> str:
    """Text for a background: white while that is readable, else black, which then is."""
    return WHITE if contrast(WHITE, background) >= READABLE else BLACK


def on_white(colour: str) -> str:
    """The colour itself, or the nearest darker shade that is readable on white."""
    channels = [int(colour[place : place + 2], 16) for place in (0, 2, 4)]
    share = 1.0
    while contrast(colour, WHITE) < READABLE:
        share -= 0.05
        colour = "".join(f"{int(channel * share):02x}" for channel in channels)
    return colour


def tint(colour: str) -> str:
    """A fifth of the way towards the text that stands on the colour."""
    pairs = [(int(colour[at : at + 2], 16), int(on(colour)[at : at + 2], 16)) for at in (0, 2, 4)]
    return "".join(f"{round(0.8 * own + 0.2 * text):02x}" for own, text in pairs)


def css(primary: str, secondary: str) -> str:
    """The custom properties that the stylesheet builds on."""
    values = {
        "brand": primary,
        "on-brand": on(primary),
        "accent": on_white(primary),
        "second": secondary,
        "on-second": on(secondary),
    }
    return ":root{" + "".join(f"--{name}:#{value};" for name, value in values.items()) + "}\n"


def tile(primary: str) -> str:
    shape = f'<rect width="32" height="32" rx="8" fill="#{primary}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">{shape}</svg>'
