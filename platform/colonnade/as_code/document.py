"""The file's contents. It holds no secret: keys, endpoints and their secrets have no place in it."""

from typing import Literal

from msgspec import Struct

from colonnade.portals.branding import Branding
from colonnade.portals.configurations import PutConfiguration
from colonnade.portals.policy import Drift
from colonnade_tenants.catalogue import Feature, Grant, Plan


class FeatureText(Struct, frozen=True, forbid_unknown_fields=True):
    """A feature; see `PUT …/features/{key}`."""

    kind: Literal["flag", "limit", "quantity"]
    name: str
    unit: str | None = None
    description: str | None = None
    combine: Literal["or", "max", "sum"] | None = None
    fallback: bool | int = 0

    def feature(self, key: str) -> Feature:
        """As the catalogue takes it."""
        return Feature(key, self.kind, self.name, self.unit, self.description, self.combine, self.fallback)


class PlanText(Struct, frozen=True, forbid_unknown_fields=True):
    """A plan; see `PUT …/plans/{key}`. A change of it takes effect when it is applied."""

    name: str
    price: str | None = None
    product: str | None = None
    grants: list[Grant] = []

    def plan(self, key: str) -> Plan:
        """As the catalogue takes it."""
        return Plan(key, self.name, self.price, self.product, self.grants)


class PortalText(Struct, frozen=True, forbid_unknown_fields=True):
    """The portal's policy (see `PUT …/portal-policy`) and configurations by name; one of them is the *default*."""

    drift: Drift | None = None
    configurations: dict[str, PutConfiguration] = {}


class TenantText(Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be so of one tenant; what is left out stays as it is."""

    branding: Branding | None = None
    features: dict[str, FeatureText] = {}
    plans: dict[str, PlanText] = {}
    portal: PortalText = PortalText()


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """Tenants by id (`ten_…`)."""

    tenants: dict[str, TenantText]
