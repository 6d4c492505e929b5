"""Test cards, and how each of them declines."""

from dataclasses import dataclass

from colonnade_sandbox import errors


@dataclass(frozen=True, slots=True)
class Card:
    """A test card (Stripe docs, "Testing"). `attach` and `charge` name the decline that it provokes.

    `secure` cards want the customer to authenticate every payment (3D Secure).
    """

    brand: str
    number: str
    country: str = "US"
    funding: str = "credit"
    attach: str | None = None
    charge: str | None = None
    secure: bool = False


CARDS = {
    "visa": Card("visa", "4242424242424242"),
    "visa_debit": Card("visa", "4000056655665556", funding="debit"),
    "mastercard": Card("mastercard", "5555555555554444"),
    "mastercard_debit": Card("mastercard", "5200828282828210", funding="debit"),
    "amex": Card("amex", "378282246310005"),
    "discover": Card("discover", "6011111111111117"),
    "diners": Card("diners", "3056930009020004"),
    "jcb": Card("jcb", "3566002020360505"),
    "unionpay": Card("unionpay", "6200000000000005"),
    "us": Card("visa", "4242424242424242"),
    "de": Card("visa", "4000002760000016", country="DE"),
    "gb": Card("visa", "4000008260000000", country="GB"),
    "fr": Card("visa", "4000002500000003", country="FR"),
    "authenticationRequired": Card("visa", "4000002760003184", secure=True),
    "threeDSecure2Required": Card("visa", "4000000000003220", secure=True),
    "threeDSecureOptional": Card("visa", "4000000000003055"),
    "chargeCustomerFail": Card("visa", "4000000000000341", charge="generic_decline"),
    "chargeDeclined": Card("visa", "4000000000000002", attach="generic_decline"),
    "chargeDeclinedInsufficientFunds": Card("visa", "4000000000009995", attach="insufficient_funds"),
    "chargeDeclinedLostCard": Card("visa", "4000000000009987", attach="lost_card"),
    "chargeDeclinedExpiredCard": Card("visa", "4000000000000069", attach="expired_card"),
    "chargeDeclinedIncorrectCvc": Card("visa", "4000000000000127", attach="incorrect_cvc"),
}
# Stripe's own ids name some declines with the brand before them.
CARDS |= {f"visa_{name}": card for name, card in CARDS.items() if name.startswith("chargeDeclined")}
NUMBERS = {card.number: name for name, card in reversed(CARDS.items())}
MAGIC = ("pm_card_", "tok_")
# Declines that are error codes of their own; the others are `card_declined` with a `decline_code`.
OWN_CODES = {"expired_card", "incorrect_cvc"}


def declined(decline: str) -> errors.StripeError:
    """The error of a refused card (402)."""
    code = decline if decline in OWN_CODES else "card_declined"
    return errors.StripeError(
        402, "Your card was declined.", type="card_error", code=code, param="", decline_code=decline
    )


def magic(value: str) -> str | None:
    """The name of the test card behind `pm_card_visa` or `tok_visa`."""
    for prefix in MAGIC:
        if value.startswith(prefix) and value.removeprefix(prefix) in CARDS:
            return value.removeprefix(prefix)
    return None
