"""What the preflight goes by: a configuration, what it offers, and a customer's subscriptions."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from colonnade.portals.offers import Offer
from colonnade.portals.reasons import Reason
from colonnade.portals.settings import PortalSettings


class Price(Struct, frozen=True):
    """A price as far as the portal minds it."""

    id: str
    product: str
    active: bool
    currencies: frozenset[str]


class Item(Struct, frozen=True):
    """*quantity* is null for a metered item."""

    id: str
    price: str
    product: str
    quantity: int | None


class Subscription(Struct, frozen=True, kw_only=True):
    """A subscription that has not ended. What only Stripe can tell has the value that stands in nobody's way.

    *pending*: a change waits for the end of the period. *payable*: an invoice could be charged, or is not to be.
    """

    id: str
    status: str
    items: Sequence[Item]
    cancelling: bool
    scheduled: bool
    pending: bool
    visible: bool
    flexible: bool = True
    currency: str | None = None
    payable: bool = True


class Offered(Struct, frozen=True):
    """A price that the update page shows for a subscription; both bounds null: its quantity is fixed."""

    price: str
    product: str
    current: bool
    minimum: int | None
    maximum: int | None

    @property
    def is_choice(self) -> bool:
        """Whether choosing it may change anything."""
        return not self.current or self.minimum is not None


class Facts(Struct, frozen=True):
    """*prices* is None where they were not read: then each listed one counts as good.

    *closed*: why nothing at all can be done, as no portal opens.
    """

    settings: PortalSettings
    offers: Sequence[Offer]
    subscriptions: Sequence[Subscription]
    prices: Mapping[str, Price] | None = None
    closed: Sequence[Reason] = ()
