"""Who the demo's two tenants are: their brands, plans, features and customers. Data only."""

from msgspec import Struct


class Plan(Struct, frozen=True):
    """A plan with its monthly price in cents and what it grants (True: a flag; per_unit: that much for each seat)."""

    key: str
    name: str
    cents: int
    grants: dict[str, bool | int | None]
    per_unit: tuple[str, ...] = ()


class Customer(Struct, frozen=True):
    """An end customer by the tenant's own reference, and what they subscribe to."""

    reference: str
    name: str
    email: str
    plan: str
    quantity: int = 1


class Tenant(Struct, frozen=True):
    """One tenant of the demo."""

    slug: str
    name: str
    tagline: str
    primary: str
    secondary: str
    product: str
    features: dict[str, tuple[str, str]]  # key: (kind, name)
    plans: tuple[Plan, ...]
    customers: tuple[Customer, ...]
    cancel_mode: str
    quantity: bool


TENANTS = (
    Tenant(
        slug="fern-and-field",
        name="Fern & Field",
        tagline="Garden plans for people with more weeds than time",
        primary="#1f6f43",
        secondary="#f2b705",
        product="Garden planner",
        features={
            "plant-library": ("flag", "Plant library"),
            "frost-alerts": ("flag", "Frost alerts"),
            "beds": ("limit", "Garden beds"),
            "gardeners": ("quantity", "Gardeners"),
        },
        plans=(
            Plan("seedling", "Seedling", 500, {"plant-library": True, "beds": 3, "gardeners": 1}, ("gardeners",)),
            Plan(
                "orchard",
                "Orchard",
                1500,
                {"plant-library": True, "frost-alerts": True, "beds": None, "gardeners": 1},
                ("gardeners",),
            ),
        ),
        customers=(
            Customer("ada", "Ada Moss", "ada@garden.example", "seedling", 2),
            Customer("ben", "Ben Alder", "ben@garden.example", "orchard"),
        ),
        cancel_mode="at_period_end",
        quantity=True,
    ),
    Tenant(
        slug="kiln-street",
        name="Kiln Street Studio",
        tagline="Shared kilns, glazes and shelf space",
        primary="#8a3324",
        secondary="#2b3a67",
        product="Studio membership",
        features={
            "night-access": ("flag", "Night access"),
            "glaze-lab": ("flag", "Glaze lab"),
            "shelves": ("limit", "Shelves"),
            "firings": ("limit", "Firings a month"),
        },
        plans=(
            Plan("maker", "Maker", 4900, {"shelves": 1, "firings": 2}),
            Plan("resident", "Resident", 12900, {"night-access": True, "glaze-lab": True, "shelves": 4, "firings": 12}),
        ),
        customers=(
            Customer("cleo", "Cleo Stone", "cleo@clay.example", "maker"),
            Customer("dov", "Dov Glazer", "dov@clay.example", "resident"),
        ),
        cancel_mode="immediately",
        quantity=False,
    ),
)
