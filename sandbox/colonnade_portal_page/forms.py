"""What the portal's forms ask for, in English: the words are translated where a page shows them."""

REASONS = {
    "customer_service": "Customer service was less than expected",
    "low_quality": "Quality was less than expected",
    "missing_features": "I need more features",
    "other": "Other reason",
    "switched_service": "I found an alternative",
    "too_complex": "Ease of use was less than expected",
    "too_expensive": "It's too expensive",
    "unused": "I no longer need it",
}
"""Why a customer cancels, by Stripe's `feedback`."""
ADDRESS = {
    "line1": ("Address line 1", "address-line1"),
    "line2": ("Address line 2", "address-line2"),
    "city": ("City", "address-level2"),
    "state": ("State or province", "address-level1"),
    "postal_code": ("Postal code", "postal-code"),
    "country": ("Country", "country"),
}
FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "name": {"name": ("Name", "name")},
    "email": {"email": ("Email", "email")},
    "phone": {"phone": ("Phone", "tel")},
    "address": {f"address_{name}": field for name, field in ADDRESS.items()},
    "shipping": {"shipping_name": ("Recipient", "shipping name"), "shipping_phone": ("Phone", "shipping tel")}
    | {f"shipping_{name}": (label, f"shipping {token}") for name, (label, token) in ADDRESS.items()},
}
"""Form fields by the update that allows them, in the order of the page: name → (label, browser's autofill token)."""
HEADINGS = {"address": "Billing address", "shipping": "Shipping address"}
CARDS = {
    "visa": ("Visa •••• 4242", "Every payment succeeds"),
    "mastercard": ("Mastercard •••• 4444", "Every payment succeeds"),
    "amex": ("American Express •••• 0005", "Every payment succeeds"),
    "visa_debit": ("Visa debit •••• 5556", "Every payment succeeds"),
    "chargeCustomerFail": ("Visa •••• 0341", "Can be added, but every payment fails"),
    "chargeDeclined": ("Visa •••• 0002", "Is declined when added"),
}
"""The test cards that the page offers, and how they behave."""
