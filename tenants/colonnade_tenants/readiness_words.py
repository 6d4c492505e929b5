"""Stripe's names of requirements, capabilities and reasons in plain words, and whom each waits for.

Sources: "Required verification information", "The Account object: requirements.disabled_reason" (Stripe docs).
"""

from typing import Literal

Party = Literal["business", "representative", "stripe", "platform"]

_WHO = {
    "individual": "the owner",
    "representative": "the representative",
    "owners": "each owner",
    "directors": "each director",
    "executives": "each executive",
    "company": "the company",
}
_PEOPLE = ("individual.", "representative.", "owners.", "directors.", "executives.", "person_")

_WHOLE = {
    "business_profile.mcc": "What the business sells",
    "business_profile.name": "The public name of the business",
    "business_profile.product_description": "A description of what the business sells",
    "business_profile.support_email": "An e-mail address for the customers' questions",
    "business_profile.support_phone": "A telephone number for the customers' questions",
    "business_profile.support_url": "A web page for the customers' questions",
    "business_profile.url": "The website of the business",
    "business_type": "The legal form of the business",
    "company.directors_provided": "Confirmation that all directors are named",
    "company.executives_provided": "Confirmation that all executives are named",
    "company.owners_provided": "Confirmation that all owners are named",
    "company.verification.document": "A document that shows the company's registration",
    "external_account": "A bank account for payouts",
    "settings.payments.statement_descriptor": "The text on customers' bank statements",
    "tos_acceptance.date": "Agreement to Stripe's terms of service",
    "tos_acceptance.ip": "Agreement to Stripe's terms of service",
}
"""Names that are said as a whole."""

_PARTS = {
    "address": "The address",
    "dob": "The date of birth",
    "documents.passport": "The passport",
    "email": "The e-mail address",
    "first_name": "The first name",
    "id_number": "The national identification number",
    "last_name": "The last name",
    "name": "The legal name",
    "nationality": "The nationality",
    "phone": "The telephone number",
    "registration_number": "The registration number",
    "relationship": "The position in the business",
    "ssn_last_4": "The last four digits of the social security number",
    "structure": "The legal structure",
    "tax_id": "The tax number",
    "vat_id": "The VAT number",
    "verification.additional_document": "A document that shows the address",
    "verification.document": "A photo of an identity document",
    "verification.proof_of_liveness": "A check by camera",
}
"""What is wanted of a person or the company, by how the rest of the name begins."""

_REASONS: dict[str, tuple[str, Party]] = {
    "action_required.requested_capabilities": (
        "The platform has to request a capability for this account.",
        "platform",
    ),
    "listed": ("Stripe compares the business with lists of prohibited persons and companies.", "stripe"),
    "other": ("Stripe has disabled the account, and does not say why.", "stripe"),
    "platform_paused": ("The platform has paused this account.", "platform"),
    "rejected.fraud": ("Stripe has rejected the account: it suspects fraud.", "stripe"),
    "rejected.incomplete_verification": ("Stripe has rejected the account: it could not be verified.", "stripe"),
    "rejected.listed": ("Stripe has rejected the account: it is on a list of prohibited businesses.", "stripe"),
    "rejected.platform_fraud": ("The platform has rejected the account: it suspects fraud.", "platform"),
    "rejected.platform_other": ("The platform has rejected the account.", "platform"),
    "rejected.platform_terms_of_service": ("The platform has rejected the account by its terms.", "platform"),
    "rejected.terms_of_service": ("Stripe has rejected the account by its terms of service.", "stripe"),
    "requirements.past_due": ("Something that Stripe asked for is overdue.", "business"),
    "requirements.pending_verification": ("Stripe is checking what the business gave.", "stripe"),
    "under_review": ("Stripe is reviewing the account.", "stripe"),
}
_CAPABILITIES = {"card_payments": "card payments", "transfers": "transfers to this account"}


def of_requirement(name: str) -> str:
    """`person_1.verification.document` as "A photo of an identity document of a person behind the business"."""
    if name in _WHOLE:
        return _WHOLE[name]
    head, _, rest = name.partition(".")
    who = "a person behind the business" if head.startswith("person_") else _WHO.get(head)
    part = next((said for start, said in _PARTS.items() if f"{rest}.".startswith(f"{start}.")), None)
    return f"{part} of {who}" if who and part else _spelt(name)


def _spelt(name: str) -> str:
    """A name that is not known here: `a_new.kind_of_thing` as "A new: kind of thing"."""
    said = ": ".join(part.replace("_", " ") for part in name.split(".") if not part.startswith("person_"))
    return (said[:1].upper() + said[1:]) or name


def party(name: str) -> Party:
    """Who has to give what *name* asks for: a person in their own name, or the business."""
    return "representative" if name.startswith(_PEOPLE) else "business"


def of_reason(reason: str) -> tuple[str, Party]:
    """A `disabled_reason` as a sentence, and who can do something about it."""
    known = _REASONS.get(reason)
    if known is not None:
        return known
    said = reason.replace(".", ": ").replace("_", " ")
    return f"Stripe has disabled the account ({said}).", "platform" if "platform" in reason else "stripe"


def of_capability(name: str) -> str:
    """`card_payments` as "card payments"."""
    return _CAPABILITIES.get(name) or name.replace("_", " ")
