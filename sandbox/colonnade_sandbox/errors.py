"""Stripe's error bodies. Messages follow recorded replies of api.stripe.com."""

from collections.abc import Sequence
from typing import Any

DOCS = "https://stripe.com/docs/error-codes/"

# How Stripe names a resource in "No such …"; the others go by their object name.
NAMES = {"payment_method": "PaymentMethod", "billing_portal.configuration": "configuration", "plan": "price"}

HINTS = {
    "payment_method": (
        "; It's possible this PaymentMethod exists on one of your connected accounts, in which case you should retry "
        "this request on that connected account. Learn more at https://stripe.com/docs/connect/authentication"
    )
}


class StripeError(Exception):
    """An error that the API answers with `status` and a body `{"error": {…}}`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",  # noqa: A002
        code: str | None = None,
        param: str | None = None,
        storable: bool = True,
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error: dict[str, Any] = {"message": message, "type": type}
        if code is not None:
            self.error |= {"code": code, "doc_url": DOCS + code.replace("_", "-")}
        if param is not None:
            self.error["param"] = param
        self.error |= extra
        # Whether an idempotency key remembers this answer: not where nothing was executed.
        self.storable = storable
        # Whether what was written before it stays written: a declined charge has happened.
        self.kept = False

    def keeping(self) -> "StripeError":
        self.kept = True
        return self


def bracketed(names: Sequence[str]) -> str:
    """`["items", "0", "price"]` as Stripe writes it: `items[0][price]`."""
    return "".join([names[0], *(f"[{name}]" for name in names[1:])]) if names else ""


def _refused(message: str, param: str | None, code: str | None = None) -> StripeError:
    return StripeError(400, message, code=code, param=param, storable=False)


def unknown_parameter(param: str) -> StripeError:
    return _refused(f"Received unknown parameter: {param}", param, "parameter_unknown")


def missing_parameter(param: str) -> StripeError:
    return _refused(f"Missing required param: {param}.", param, "parameter_missing")


def empty_parameter(param: str) -> StripeError:
    text = (
        f"You passed an empty string for '{param}'. We assume empty values are an attempt to unset a parameter; "
        f"however '{param}' cannot be unset. You should remove '{param}' from your request or supply a "
        "non-empty value."
    )
    return _refused(text, param, "parameter_invalid_empty")


def invalid_integer(param: str, value: str) -> StripeError:
    return _refused(f"Invalid integer: {value}", param, "parameter_invalid_integer")


def invalid_choice(param: str, value: str, choices: Sequence[str]) -> StripeError:
    listed = choices[0] if len(choices) == 1 else ", ".join(choices[:-1]) + f", or {choices[-1]}"
    leaf = param.removesuffix("]").rpartition("[")[2]
    return _refused(f"Invalid {leaf}: must be one of {listed}", param)


def invalid_value(param: str, message: str) -> StripeError:
    return _refused(message, param)


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    """A request that is well formed and still cannot be done."""
    return StripeError(400, message, param=param, code=code)


def no_such(kind: str, value: str, param: str = "id", *, in_path: bool | None = None) -> StripeError:
    """An unknown id: 404 when it stands in the path (as `id` always does), 400 in a parameter."""
    name = NAMES.get(kind, kind.rpartition(".")[2])
    status = 404 if (param == "id" if in_path is None else in_path) else 400
    text = f"No such {name}: '{value}'{HINTS.get(kind, '')}"
    return StripeError(status, text, code="resource_missing", param=param)


def unauthorized(message: str) -> StripeError:
    return StripeError(401, message, storable=False)


def permission_missing(key: str, account: str, permission: str) -> StripeError:
    text = (
        f"The provided key '{key[:8]}***' does not have the required permissions for this endpoint on account "
        f"'{account}'. Having the '{permission}' permission would allow this request to continue."
    )
    return StripeError(403, text, storable=False)


def invalid_version(version: str) -> StripeError:
    return StripeError(400, f"Invalid Stripe API version: {version}", storable=False)


def account_invalid(key: str, account: str) -> StripeError:
    text = (
        f"The provided key '{key[:8]}***' does not have access to account '{account}' (or that account does not "
        "exist). Application access may have been revoked."
    )
    return StripeError(403, text, code="account_invalid", storable=False)


def unknown_url(method: str, path: str) -> StripeError:
    text = (
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at "
        "https://support.stripe.com/."
    )
    return StripeError(404, text, storable=False)


def not_implemented(method: str, template: str) -> StripeError:
    text = f"{method} {template} is part of Stripe's API but not implemented by this sandbox."
    return StripeError(501, text, type="api_error", code="not_implemented", storable=False)


def parameter_not_implemented(param: str) -> StripeError:
    text = f"The parameter {param} is part of Stripe's API but not implemented by this sandbox."
    return StripeError(501, text, type="api_error", code="not_implemented", param=param, storable=False)


def failed() -> StripeError:
    """A bug of the sandbox."""
    return StripeError(500, "The sandbox failed; see its output.", type="api_error")
