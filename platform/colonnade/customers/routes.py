"""Routes of end customers and their subscriptions."""

from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from colonnade.access.guard import Tenant
from colonnade.access.scopes import Scope, allow
from colonnade.customers import billing, checkout, service, subscriptions
from colonnade.customers.billing import BillingView, InvoiceView, PaymentMethodView
from colonnade.customers.checkout import Checkout, NewCheckout
from colonnade.customers.service import CustomerView, PutCustomer, shown
from colonnade.customers.subscriptions import NewSubscription, SubscriptionView
from colonnade.etags import IfMatch, tagged
from colonnade.services import Services
from colonnade.web import After, IdempotencyKey, Limit, Page, from_cursor, page_of
from colonnade_tenants import customers

_CUSTOMERS = "/tenants/{tenant:str}/customers"
_CUSTOMER = _CUSTOMERS + "/{reference:str}"


@get(
    _CUSTOMERS, summary="A tenant's customers, oldest first", tags=["Customers"], opt=allow(Scope.READ, Scope.CUSTOMERS)
)
async def list_customers(
    services: NamedDependency[Services], current: NamedDependency[Tenant], limit: Limit = 20, after: After = None
) -> Page[CustomerView]:
    async with services.database.tenant(current.id) as session:
        found = await customers.list_page(session, from_cursor(after), limit + 1)
    return page_of(found, limit, lambda each: each.public_id, shown)


@put(
    _CUSTOMER, summary="Create or change a customer, here and at Stripe", tags=["Customers"], opt=allow(Scope.CUSTOMERS)
)
async def put_customer(
    reference: FromPath[str],
    data: JSONBody[PutCustomer],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    if_match: IfMatch = None,
) -> Response[CustomerView]:
    return tagged(shown(await service.put(services, current, reference, data, if_match)))


@get(_CUSTOMER, summary="A customer", tags=["Customers"], opt=allow(Scope.READ, Scope.CUSTOMERS))
async def get_customer(
    reference: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Response[CustomerView]:
    async with services.database.tenant(current.id) as session:
        return tagged(shown(await customers.get(session, reference)))


@post(f"{_CUSTOMER}/subscriptions", summary="Start a subscription", tags=["Customers"], opt=allow(Scope.CUSTOMERS))
async def create_subscription(
    reference: FromPath[str],
    data: JSONBody[NewSubscription],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    idempotency_key: IdempotencyKey = None,
) -> SubscriptionView:
    return await subscriptions.create(services, current, reference, data, idempotency_key)


@post(
    f"{_CUSTOMER}/checkout-sessions",
    summary="Start a subscription on Stripe's own page",
    tags=["Customers"],
    opt=allow(Scope.CUSTOMERS),
)
async def create_checkout_session(
    reference: FromPath[str],
    data: JSONBody[NewCheckout],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    idempotency_key: IdempotencyKey = None,
) -> Response[Checkout]:
    made = await checkout.create(services, current, reference, data, idempotency_key)
    return Response(made, headers={"Cache-Control": "no-store"})


@get(
    f"{_CUSTOMER}/subscriptions",
    summary="A customer's subscriptions, as Stripe's events told",
    tags=["Customers"],
    opt=allow(Scope.READ, Scope.CUSTOMERS),
)
async def list_subscriptions(
    reference: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Page[SubscriptionView]:
    return Page(await subscriptions.mirrored(services, current, reference))


@get(
    f"{_CUSTOMER}/invoices",
    summary="A customer's invoices, newest first",
    tags=["Customers"],
    opt=allow(Scope.READ, Scope.CUSTOMERS),
)
async def list_invoices(
    reference: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    limit: Limit = 20,
    after: After = None,
) -> Page[InvoiceView]:
    return await billing.list_invoices(services, current, reference, limit, after)


@get(
    f"{_CUSTOMER}/payment-methods",
    summary="A customer's payment methods",
    tags=["Customers"],
    opt=allow(Scope.READ, Scope.CUSTOMERS),
)
async def list_payment_methods(
    reference: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Page[PaymentMethodView]:
    return Page(await billing.list_payment_methods(services, current, reference))


@get(
    f"{_CUSTOMER}/billing",
    summary="How Stripe bills a customer",
    tags=["Customers"],
    opt=allow(Scope.READ, Scope.CUSTOMERS),
)
async def get_billing(
    reference: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> BillingView:
    return await billing.billing(services, current, reference)


ROUTES = (
    list_customers,
    put_customer,
    get_customer,
    create_subscription,
    create_checkout_session,
    list_subscriptions,
    list_invoices,
    list_payment_methods,
    get_billing,
)
