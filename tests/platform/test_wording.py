"""What is wrong with a value is told in our words, for every pattern and every type that callers may meet."""

import json
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from colonnade.accounts.new_tenants import NewTenant
from colonnade.app import create_app
from colonnade.conventions.wording import PATTERNS, Wrong, wrong
from colonnade.settings import Settings
from colonnade.stripe_api.charges import ChargeType


class Line(Struct, forbid_unknown_fields=True):
    price: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,255}$")]
    quantity: Annotated[int, Meta(ge=1, le=9)] | None = None


class Once(Struct, tag_field="type", tag="once"):
    pass


class Often(Struct, tag_field="type", tag="often"):
    pass


class Order(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=3)]
    charge_type: ChargeType | None = None
    paid: bool = False
    percent: Annotated[float, Meta(gt=0, le=100)] = 1.0
    lines: Annotated[list[Line], Meta(max_length=1)] = []
    by_key: dict[Annotated[str, Meta(max_length=2)], Literal["x", "y"]] = {}
    when: Once | Often | None = None


@pytest.mark.parametrize(
    ("body", "param", "detail"),
    [
        ({}, "name", "This field is required."),
        ({"name": 1}, "name", "Must be text, not a number."),
        ({"name": None}, "name", "Must be text, not null."),
        ({"name": ""}, "name", "Must have at least 1 character."),
        ({"name": "four"}, "name", "Must have at most 3 characters."),
        ({"charge_type": "dirct"}, "charge_type", "Must be direct, destination or separate."),
        ({"charge_typ": "direct"}, "charge_typ", "There is no such field; the nearest is charge_type."),
        ({"paid": "yes"}, "paid", "Must be true or false, not text."),
        ({"percent": 0}, "percent", "Must be more than 0."),
        ({"percent": 101}, "percent", "Must be at most 100."),
        ({"lines": [{}]}, "lines[0].price", "This field is required."),
        ({"lines": [{"price": "a b"}]}, "lines[0].price", "Must be an id of Stripe's."),
        ({"lines": [{"price": "p", "quantity": 0}]}, "lines[0].quantity", "Must be at least 1."),
        ({"lines": [{"price": "p", "quantity": 1.5}]}, "lines[0].quantity", None),
        ({"lines": [{"price": "p"}] * 2}, "lines", "Must have at most 1 entry."),
        ({"lines": [{"zzz": 1}]}, "lines[0].zzz", "There is no such field."),
        ({"lines": {}}, "lines", "Must be a list, not an object."),
        ({"by_key": {"abc": "x"}}, "by_key", "Must have at most 2 characters."),
        ({"by_key": {"ab": "z"}}, "by_key[...]", "Must be x or y."),
        ({"when": {"type": "never"}}, "when.type", "Must be once or often."),
        ([], None, "Must be an object, not a list."),
    ],
)
def test_what_is_wrong_is_a_sentence_and_the_fields_place(body: Any, param: str | None, detail: str | None) -> None:
    given = {"name": "a"} | body if isinstance(body, dict) and body else body
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.json.decode(json.dumps(given), type=Order)
    whole = "Must be a whole number or null, not a number with a fraction."
    assert wrong(str(error.value), Order) == Wrong(detail or whole, param)


def test_a_country_is_told_as_one() -> None:
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert({"name": "a", "country": "Germany"}, NewTenant)
    assert wrong(str(error.value), NewTenant) == ("Must be a two-letter country code, such as DE.", "country")


def test_a_parameter_that_may_be_repeated_tells_what_it_takes() -> None:
    found = wrong("Invalid enum value 'z'", list[Literal["x", "y"]] | None)
    assert found == ("Must be x or y.", None)


def test_every_pattern_of_the_interface_has_words() -> None:
    app = create_app(Settings(), database_url="", secret_key="")
    schema = json.dumps(app.openapi_schema.to_schema())
    used = _patterns(json.loads(schema))
    assert used
    assert used <= PATTERNS.keys()


def test_no_type_that_is_decoded_is_too_odd_to_be_explained() -> None:
    app = create_app(Settings(), database_url="", secret_key="")
    kinds = [
        kind
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        for kind in handler.signature_model.__annotations__.values()
    ]
    assert len(kinds) > 100
    for kind in kinds:
        assert wrong("Invalid enum value 'x'", kind).detail.endswith(".")


def _patterns(value: Any) -> set[str]:
    if isinstance(value, list):
        return {found for each in value for found in _patterns(each)}
    if not isinstance(value, dict):
        return set()
    own = {value["pattern"]} if isinstance(value.get("pattern"), str) else set()
    return own | {found for each in value.values() for found in _patterns(each)}
