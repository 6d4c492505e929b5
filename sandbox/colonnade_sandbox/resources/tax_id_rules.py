"""Tax numbers: which form each type has, and what becomes of one that is checked.

Forms and checks follow Stripe docs, "Customer tax IDs"; types that are not listed here take any text.
"""

import re

EU = "AT|BE|BG|CY|CZ|DE|DK|EE|EL|ES|FI|FR|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO|SE|SI|SK|XI"
FORMS = {
    "au_abn": r"\d{11}",
    "br_cnpj": r"\d{2}\.?\d{3}\.?\d{3}/?\d{4}-?\d{2}",
    "br_cpf": r"\d{3}\.?\d{3}\.?\d{3}-?\d{2}",
    "ca_bn": r"\d{9}",
    "ca_gst_hst": r"\d{9}RT\d{4}",
    "ca_qst": r"\d{10}TQ\d{4}",
    "ch_vat": r"CHE-?\d{3}\.?\d{3}\.?\d{3} ?(MWST|TVA|IVA)",
    "es_cif": r"[A-Z]\d{7}[A-Z0-9]",
    "eu_vat": rf"({EU})[A-Z0-9+*]{{2,12}}",
    "gb_vat": r"GB(\d{9}|\d{12}|GD\d{3}|HA\d{3})",
    "hk_br": r"\d{8}",
    "in_gst": r"\d{2}[A-Z]{5}\d{4}[A-Z][A-Z0-9]Z[A-Z0-9]",
    "jp_cn": r"\d{13}",
    "jp_trn": r"T\d{13}",
    "mx_rfc": r"[A-ZÑ&]{3,4}\d{6}[A-Z0-9]{3}",
    "no_vat": r"\d{9}MVA",
    "nz_gst": r"\d{8,9}",
    "sg_gst": r"M\d{8}X",
    "sg_uen": r"(\d{8,9}|[TSR]\d{2}[A-Z]{2}\d{4})[A-Z]",
    "us_ein": r"\d{2}-\d{7}",
    "za_vat": r"4\d{9}",
}
# The types that somebody can check; the check of all others is unavailable.
CHECKED = {"au_abn", "eu_vat", "gb_vat"}
# What a check finds where all digits of the number are this one: else it finds the number true.
MAGIC = {"1": "unverified", "2": "pending", "3": "unavailable"}


def well_formed(kind: str, value: str) -> bool:
    form = FORMS.get(kind)
    return bool(value.strip()) and (form is None or re.fullmatch(form, value) is not None)


def country(kind: str, value: str) -> str | None:
    """Two letters: of the type, or of a European number itself."""
    if kind == "eu_vat":
        return {"EL": "GR", "XI": "GB"}.get(value[:2], value[:2])
    return None if kind.startswith("eu_") else kind[:2].upper()


def finding(value: str) -> str:
    """What the check of a number ends in."""
    digits = set(re.sub(r"\D", "", value))
    return MAGIC.get(digits.pop(), "verified") if len(digits) == 1 else "verified"
