"""All checks in their order, and the run through them."""

from collections.abc import Callable, Iterable

from msgspec import Struct

from colonnade.database.connections import LOST
from colonnade.doctor import of_database, of_oauth, of_rows, of_secrets, of_settings, of_stripe
from colonnade.doctor.place import Check, Finding, Place
from colonnade.errors import DomainError

CHECKS = (
    Check("stripe-key", "a key is set", ("settings",), of_settings.stripe_key, "key"),
    Check("login", "the login cannot bypass row-level security", ("settings",), of_database.login, "database"),
    Check("migrations", "no migration is pending", ("database",), of_database.migrations, "tables"),
    Check("account", "Stripe takes the key", ("key",), of_stripe.account, "stripe"),
    Check(
        "platform-account",
        "the key is of the account that the database belongs to",
        ("stripe", "tables"),
        of_stripe.platform_account,
        "home",
    ),
    # Whose key it is comes before what a wrong one would have mended in the wrong place.
    Check("webhook-secrets", "each endpoint has a secret that is accepted", ("settings",), of_settings.webhook_secrets),
    Check("expired-secrets", "no secret is past its time", ("settings",), of_settings.expired_secrets),
    Check("shared-secrets", "no secret stands in two variables", ("settings",), of_settings.shared_secrets),
    Check("base-url", "Stripe can reach the base URL", ("settings",), of_settings.base_url),
    Check("proxies", "behind https, it is said which proxy to believe", ("settings",), of_settings.proxies),
    Check("reachable", "the service answers at its base URL", ("settings",), of_settings.reachable),
    Check("identity-provider", "people's tokens can be checked", ("settings",), of_oauth.identity_provider),
    Check("live-database", "live mode has a database of its own", ("settings",), of_settings.live_database),
    Check("worker", "a worker goes round", ("settings",), of_settings.worker),
    Check("row-security", "row-level security covers every tenant's row", ("database",), of_rows.row_security),
    Check("mode", "the database has this mode's events", ("tables",), of_database.mode),
    Check("platform-keys", "the platform team has a key", ("tables",), of_database.platform_keys),
    Check("stored-secrets", "what is stored encrypted can be read", ("tables",), of_secrets.stored),
    Check("backlog", "events are handled in time", ("tables",), of_database.backlog),
    Check("completeness", "sweeps keep up", ("tables",), of_database.completeness),
    Check("unfinished-tenants", "every tenant has its account", ("tables",), of_database.unfinished_tenants),
    Check("origins", "every tenant has pages to return to", ("tables",), of_database.origins),
    Check("configurations", "every tenant has a default configuration", ("tables",), of_database.configurations),
    Check("unused-secrets", "no secret is of no endpoint", ("tables",), of_database.unused_secrets),
    Check("endpoint-secrets", "each endpoint's secret is in its variable", ("tables",), of_secrets.of_endpoints),
    Check("clock", "the clock is Stripe's", ("stripe",), of_stripe.clock),
    Check("permissions", "the key may read what is needed", ("home",), of_stripe.permissions),
    Check("connect-application", "businesses get to Stripe's consent", ("home",), of_oauth.connect_application),
    Check("endpoints", "the webhook endpoints are as needed", ("home", "tables"), of_stripe.endpoints),
    Check(
        "default-configurations",
        "default configurations are active at Stripe",
        ("home", "tables"),
        of_stripe.default_configurations,
    ),
)


class Report(Struct, frozen=True):
    """*passed* and *skipped* name checks; a check is skipped where something that it needs was found broken."""

    findings: list[Finding]
    passed: list[str]
    skipped: list[str]

    @property
    def healthy(self) -> bool:
        """Whether no error was found; warnings may be meant."""
        return all(each.severity == "warning" for each in self.findings)


async def examine(
    place: Place, told: Callable[[Check], None] = lambda _check: None, checks: Iterable[Check] = CHECKS
) -> Report:
    """Run every one of *checks* that can be run; *told* before each."""
    report = Report([], [], [])
    for check in checks:
        if not place.has.issuperset(check.needs):
            report.skipped.append(check.name)
            continue
        told(check)
        found = await _looked(check, place)
        report.findings.extend(found)
        if found:
            continue
        report.passed.append(check.name)
        if check.gives is not None:
            place.has.add(check.gives)
    return report


async def _looked(check: Check, place: Place) -> list[Finding]:
    """A check that cannot look says so: what it looks for is not known to be well."""
    try:
        return [Finding(check.name, each.severity, each.problem, each.cure) for each in await check.look(place)]
    except (DomainError, *LOST) as error:
        problem = f"could not be looked at: {type(error).__name__}: {error}"
        return [Finding(check.name, "error", problem, "Mend what it says, then run `colonnade doctor` again.")]
