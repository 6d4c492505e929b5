"""Colours that stay readable beside each other. A colour is six hex digits without `#`."""

WHITE, BLACK = "ffffff", "000000"
# WCAG 2.2, success criterion 1.4.3: normal text on its background.
READABLE = 4.5


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
