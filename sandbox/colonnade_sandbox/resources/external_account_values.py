"""Bank accounts and cards that an account is paid out to, made from test tokens or numbers."""

from typing import Any

from colonnade_sandbox import errors, ids
from colonnade_sandbox.call import merged_metadata
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.resources import account_requirements
from colonnade_sandbox.store import Object

# Test tokens (Stripe docs, "Testing Connect").
BANK_TOKENS = {
    "btok_us": "000123456789",
    "btok_us_verified": "000123456789",
    "btok_us_no_microdeposits": "000111111113",
}
CARD_TOKENS = {"tok_visa_debit": "4000056655665556", "tok_mastercard_debit": "5200828282828210"}


def made(account: Object, given: Any, param: str = "external_account") -> Object:
    """A bank account or card from a test token or from its numbers.

    Raises StripeError (400) for an unknown token.
    """
    if isinstance(given, str):
        if given in CARD_TOKENS:
            return _card(account, {"number": CARD_TOKENS[given], "exp_month": 12, "exp_year": 2034})
        if not given.startswith("btok_"):
            raise errors.no_such("token", given, param)
        number = BANK_TOKENS.get(given, "000123456789")
        return _bank_account(account, {"account_number": number, "routing_number": "110000000"})
    kind = given.get("object")
    if kind == "bank_account":
        if not str(given.get("account_number", "")).isalnum():
            raise errors.missing_parameter(f"{param}[account_number]")
        return _bank_account(account, given)
    if kind == "card" and str(given.get("number", "")).isdigit():
        return _card(account, given)
    raise errors.invalid("You must pass a bank account, a debit card or a token of one.", param)


def _common(account: Object, given: dict[str, Any]) -> dict[str, Any]:
    return {
        "account": account["id"],
        "available_payout_methods": ["standard"],
        "country": given.get("country", account["country"]),
        "currency": str(given.get("currency", account["default_currency"])).lower(),
        "metadata": merged_metadata({}, given.get("metadata")),
    }


def _bank_account(account: Object, given: dict[str, Any]) -> Object:
    number = str(given["account_number"])
    values = {
        "id": ids.new("ba"),
        "object": "bank_account",
        "account_holder_name": given.get("account_holder_name"),
        "account_holder_type": given.get("account_holder_type"),
        "bank_name": "STRIPE TEST BANK",
        "fingerprint": ids.derived("req", number).removeprefix("req_"),
        "future_requirements": account_requirements.nothing_due(),
        "last4": number[-4:],
        "requirements": account_requirements.nothing_due(),
        "routing_number": given.get("routing_number"),
        "status": "new",
    }
    return shapes.complete("bank_account", _common(account, given) | values)


def _card(account: Object, given: dict[str, Any]) -> Object:
    number = str(given["number"])
    values = {
        "id": ids.new("card"),
        "object": "card",
        "brand": "Visa" if number.startswith("4") else "MasterCard",
        "exp_month": int(given["exp_month"]),
        "exp_year": int(given["exp_year"]),
        "fingerprint": ids.derived("req", number).removeprefix("req_"),
        "funding": "debit",
        "last4": number[-4:],
        "name": given.get("name"),
    }
    return shapes.complete("card", _common(account, given) | values)


def page(account: Object, rows: list[Object]) -> Object:
    """The list in the account, with one default for each currency."""
    first: dict[str, str] = {}
    for row in rows:
        if row["default_for_currency"]:
            first.setdefault(row["currency"], row["id"])
    for row in rows:
        first.setdefault(row["currency"], row["id"])
    data = [row | {"default_for_currency": first[row["currency"]] == row["id"]} for row in rows]
    return shapes.page(data, f"/v1/accounts/{account['id']}/external_accounts")
