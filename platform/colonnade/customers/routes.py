"""Routes of end customers, their subscriptions and their entitlements."""

from datetime import datetime

from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from colonnade.access.guard import Tenant
from colonnade.customers import billing, service, subscriptions
from colonnade.customers.billing import BillingView, InvoiceView, PaymentMethodView
from colonnade.customers.service import CustomerView, PutCustomer, shown
from colonnade.customers.subscriptions import NewSubscription, SubscriptionView
from colonnade.errors import NotFound
from colonnade.services import Services
from colonnade.web import After, IdempotencyKey, Limit, Page, cursor, from_cursor
from colonnade_tenants import customers
from colonnade_tenants.entitlements import CheckedEntitlement, CheckResult, check

_CUSTOMERS = "/tenants/{tenant:str}/customers"
_CUSTOMER = _CUSTOMERS + "/{reference:str}"


class Entitlements(Struct):
    """What the customer may use at *as_of*, by the database's clock."""

    data: list[CheckedEntitlement]
    as_of: datetime


@get(_CUSTOMERS, summary="A tenant's customers, oldest first", tags=["Customers"])
async def list_customers(
    services: NamedDependency[Services], current: NamedDependency[Tenant], limit: Limit = 20, after: After = None
) -> Page[CustomerView]:
    async with services.database.tenant(current.id) as session:
        found = await customers.list_page(session, from_cursor(after), limit + 1)
    more = len(found) > limit
    return Page([shown(customer) for customer in found[:limit]], cursor(found[limit - 1].public_id) if more else None)


@put(_CUSTOMER, summary="Create or change a customer, here and at Stripe", tags=["Customers"])
async def put_customer(
    reference: FromPath[str],
    data: JSONBody[PutCustomer],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> CustomerView:
    return shown(await service.put(services, current, reference, data))


@get(_CUSTOMER, summary="A customer", tags=["Customers"])
async def get_customer(
    reference: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> CustomerView:
    async with services.database.tenant(current.id) as session:
        return shown(await customers.get(session, reference))


@post(f"{_CUSTOMER}/subscriptions", summary="Start a subscription", tags=["Customers"])
async def create_subscription(
    reference: FromPath[str],
    data: JSONBody[NewSubscription],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    idempotency_key: IdempotencyKey = None,
) -> SubscriptionView:
    return await subscriptions.create(services, current, reference, data, idempotency_key)


@get(f"{_CUSTOMER}/subscriptions", summary="A customer's subscriptions, as Stripe's events told", tags=["Customers"])
async def list_subscriptions(
    reference: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Page[SubscriptionView]:
    return Page(await subscriptions.mirrored(services, current, reference))


@get(f"{_CUSTOMER}/invoices", summary="A customer's invoices, newest first", tags=["Customers"])
async def list_invoices(
    reference: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    limit: Limit = 20,
    after: After = None,
) -> Page[InvoiceView]:
    return await billing.list_invoices(services, current, reference, limit, after)


@get(f"{_CUSTOMER}/payment-methods", summary="A customer's payment methods", tags=["Customers"])
async def list_payment_methods(
    reference: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Page[PaymentMethodView]:
    return Page(await billing.list_payment_methods(services, current, reference))


@get(f"{_CUSTOMER}/billing", summary="How Stripe bills a customer", tags=["Customers"])
async def get_billing(
    reference: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> BillingView:
    return await billing.billing(services, current, reference)


@get(f"{_CUSTOMER}/entitlements", summary="What a customer may use now", tags=["Entitlements"])
async def list_entitlements(
    reference: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Entitlements:
    result = await _checked(services, current, reference)
    return Entitlements([answer for answer in result.entitlements if answer.granted], result.as_of)


@get(_CUSTOMER + "/entitlements/{feature:str}", summary="Whether a customer may use a feature", tags=["Entitlements"])
async def check_entitlement(
    reference: FromPath[str],
    feature: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> CheckedEntitlement:
    answer = (await _checked(services, current, reference)).get(feature)
    if answer is None:
        raise NotFound(f"There is no feature {feature!r}.", "feature")
    return answer


async def _checked(services: Services, tenant: Tenant, reference: str) -> CheckResult:
    result = await check(services.database.app_pool, tenant.id, reference)
    if result is None:
        raise NotFound("There is no customer with this reference.", "reference")
    return result


ROUTES = (
    list_customers,
    put_customer,
    get_customer,
    create_subscription,
    list_subscriptions,
    list_invoices,
    list_payment_methods,
    get_billing,
    list_entitlements,
    check_entitlement,
)
