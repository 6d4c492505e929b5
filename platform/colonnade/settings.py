"""The service's settings: `COLONNADE_*` environment variables, read once into one frozen struct."""

import difflib
import os
import secrets
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import msgspec

from colonnade import setting_values as values

PREFIX = "COLONNADE_"

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["console", "json"]
Server = Literal["granian", "uvicorn"]


class SettingsError(Exception):
    """Every problem of the environment, each a sentence that begins with its variable's name."""

    def __init__(self, problems: Collection[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Each field is the variable of the same name: `database_url` is `COLONNADE_DATABASE_URL`."""

    database_url: str | None = None
    """`postgresql://…`; none: the embedded PostgreSQL in `data_dir`."""
    migration_database_url: str | None = None
    """What `colonnade migrate` logs in with; none: `database_url`."""
    data_dir: Path = Path(".colonnade")
    stripe_api_key: str | None = None
    stripe_api_base: str = "https://api.stripe.com"
    stripe_budget_percent: int = 100
    """How much of Stripe's published limits the processes with these settings use together."""
    stripe_platform_webhook_secrets: tuple[str, ...] = ()
    """Newest first, each with an expiry if wanted (`whsec_…@2026-12-01T00:00Z`); none: the endpoint is off."""
    stripe_connect_webhook_secrets: tuple[str, ...] = ()
    """The same for the other endpoint."""
    stripe_other_mode_webhook_secrets: tuple[str, ...] = ()
    """Of the endpoints in Stripe's other mode: never accepted, they let a refusal say what went wrong."""
    event_retention_days: int = 90
    """Days that events which are done or ignored are kept: they tell repetitions, which Stripe may send for 30 days."""
    sweep_seconds: int = 900
    """Pause between two sweeps of an account by the worker; 0: none, only by `colonnade sweep`."""
    portal_check_seconds: int = 21_600
    """Pause between two looks of the worker at a portal configuration at Stripe; 0: only when an event says to."""
    ready_backlog_seconds: int | None = None
    """Readiness turns red while an event has been due for longer; none: never."""
    ready_watermark_seconds: int | None = None
    """Readiness turns red while the platform's own events are complete only up to a time longer ago; none: never."""
    worker_metrics_port: int | None = None
    """Where the worker shows its own metrics; none: nowhere."""
    notification_loopback: bool = False
    """Tenants' notification endpoints may be on this machine, and http there: for development."""
    platform_notification_url: str | None = None
    """Where the platform team is told of changes of tenants' readiness; none: nowhere."""
    platform_notification_secrets: tuple[str, ...] = ()
    """What signs that, newest first: each of them does."""
    portal_sessions_per_minute: int = 20
    """Portal sessions that one customer may have in a minute."""
    portal_visit_retention_days: int = 365
    """For how long it is kept who was let into the portal, and what they changed."""
    tenant_requests_per_minute: int = 6000
    """Requests that a tenant's keys may make in a minute of each web process, checks aside; 0: no limit."""
    tenant_checks_per_minute: int = 0
    """The same of checks."""
    wrong_keys_per_minute: int = 20
    """Wrong keys that one address may send in a minute before no more of them are looked up."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of the proxies before this service, whose `X-Forwarded-For` is believed."""
    oidc_issuer: str | None = None
    """The identity provider of the platform team's people; none: keys alone."""
    oidc_audience: str | None = None
    """What the provider's tokens must be for."""
    oidc_role_claim: str = "roles"
    """The claim that says what a person is; dots lead into it."""
    oidc_roles: tuple[tuple[str, str], ...] = tuple(
        (f"colonnade-{role}", role) for role in ("admin", "support", "read")
    )
    """Which of that claim's values stand for which role."""
    check_memory_mb: int = 64
    """Answers to checks that each web process keeps, in MiB, about."""
    base_url: str = "http://127.0.0.1:8000"
    """Where browsers and Stripe reach this service: scheme and host, no slash at the end."""
    platform_origins: tuple[str, ...] = ()
    """Of the platform's own pages: a business may be sent back there, as to its tenant's `return_origins`."""
    stripe_client_id: str | None = None
    """`ca_…` of the platform's Connect settings; none: existing accounts cannot be connected by OAuth."""
    secret_key: str | None = None
    """Signs the tokens; several, the newest first, separated by commas; none: see `ensure_secret_key`."""
    host: str = "127.0.0.1"
    port: int = 8000
    web_workers: int = 1
    drain_seconds: int = 2
    """For how long a web process that is told to stop serves on, and says so in its readiness."""
    log_level: LogLevel = "info"
    log_format: LogFormat = "console"
    server: Server = "granian"

    @classmethod
    def load(cls, environ: Mapping[str, str], *, needs: Collection[str] = ()) -> Self:
        """Read `environ`; `needs` names fields that must be given. An empty value counts as not given.

        Raises `SettingsError` with all problems.
        """
        given = {name: value.strip() for name, value in environ.items() if name.startswith(PREFIX)}
        problems = [_unknown(name) for name in given if name not in _KNOWN]
        values: dict[str, Any] = {}
        texts = {field: given[name] for name, field in _FIELDS.items() if given.get(name)}
        for field, text in texts.items():
            try:
                values[field] = _PARSERS[field](text)
            except ValueError as error:
                problems.append(f"{variable(field)} {error}")
        values.setdefault("base_url", f"http://127.0.0.1:{values.get('port', 8000)}")
        settings = cls(**values)
        problems += _contradictions(settings, texts.keys())
        problems += [f"{variable(field)} is required" for field in needs if field not in texts]
        if problems:
            raise SettingsError(dict.fromkeys(problems))
        return settings

    @property
    def livemode(self) -> bool:
        """Which of Stripe's two modes this deployment serves."""
        return self.stripe_api_key is not None and "_live_" in self.stripe_api_key[:8]

    @property
    def stripe_connect_base(self) -> str:
        """Where businesses consent to connect, and the code that this gives is exchanged."""
        stripes_own = self.stripe_api_base == "https://api.stripe.com"
        return "https://connect.stripe.com" if stripes_own else self.stripe_api_base

    def __repr__(self) -> str:
        shown = (f"{field}={_shown(field, getattr(self, field))}" for field in self.__struct_fields__)
        return f"Settings({', '.join(shown)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(field, _shown(field, getattr(self, field))) for field in self.__struct_fields__]


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def ensure_secret_key(settings: Settings) -> str:
    """The given secret key, else the one in `data_dir`, made at the first call. Raises `SettingsError`.

    Processes that start at once agree on one key: a link never replaces the file that is there.
    """
    if settings.secret_key is not None:
        return settings.secret_key
    path = settings.data_dir / "secret_key"
    if not path.exists():
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(prefix="secret_key.", dir=settings.data_dir)  # mode 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(values.SECRET_KEY_LENGTH) + "\n")
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            Path(draft).unlink()
    try:
        return values.secret_key(path.read_text().strip())
    except ValueError as error:
        raise SettingsError([f"{variable('secret_key')} is not set, and {path} {error}"]) from None


def _unknown(name: str) -> str:
    nearest = difflib.get_close_matches(name, _FIELDS, n=1, cutoff=0)
    return f"{name} is not a setting; the nearest is {nearest[0]}"


def _contradictions(settings: Settings, given: Collection[str]) -> Iterator[str]:
    """What only shows when fields are seen together."""
    if "database_url" in given and "secret_key" not in given:
        yield f"{variable('secret_key')} is required when {variable('database_url')} is set"
    if "migration_database_url" in given and "database_url" not in given:
        yield f"{variable('migration_database_url')} needs {variable('database_url')} beside it"
    if ("oidc_issuer" in given) != ("oidc_audience" in given):
        yield f"{variable('oidc_issuer')} and {variable('oidc_audience')} go together"
    if ("platform_notification_url" in given) != ("platform_notification_secrets" in given):
        yield f"{variable('platform_notification_url')} and {variable('platform_notification_secrets')} go together"
    if settings.livemode and settings.notification_loopback:
        off = f"{variable('notification_loopback')} is for development"
        yield f"{off}: it cannot be on with a live {variable('stripe_api_key')}"
    if settings.livemode and not settings.base_url.startswith("https://"):
        yield f"{variable('base_url')} must be https with a live {variable('stripe_api_key')}"


def _shown(field: str, value: Any) -> str:
    return "'***'" if field in _SECRET and value else repr(value)


_PARSERS: dict[str, Callable[[str], Any]] = {
    "database_url": values.postgres_url,
    "migration_database_url": values.postgres_url,
    "data_dir": values.folder,
    "stripe_api_key": values.stripe_key,
    "stripe_api_base": values.stripe_base,
    "stripe_budget_percent": values.number(1, 10_000),
    "stripe_platform_webhook_secrets": values.webhook_secrets,
    "stripe_connect_webhook_secrets": values.webhook_secrets,
    "stripe_other_mode_webhook_secrets": values.webhook_secrets,
    "event_retention_days": values.number(31, 3650),
    "sweep_seconds": values.number(0, 7 * 86400),
    "portal_check_seconds": values.number(0, 30 * 86400),
    "ready_backlog_seconds": values.number(1, 7 * 86400),
    "ready_watermark_seconds": values.number(60, 30 * 86400),
    "worker_metrics_port": values.number(1, 65535),
    "notification_loopback": values.switch,
    "platform_notification_url": values.endpoint,
    "platform_notification_secrets": values.signing_secrets,
    "portal_sessions_per_minute": values.number(1, 1_000_000),
    "portal_visit_retention_days": values.number(7, 3650),
    "tenant_requests_per_minute": values.number(0, 100_000_000),
    "tenant_checks_per_minute": values.number(0, 100_000_000),
    "wrong_keys_per_minute": values.number(1, 1_000_000),
    "trusted_proxies": values.networks,
    "oidc_issuer": values.issuer,
    "oidc_audience": values.word,
    "oidc_role_claim": values.word,
    "oidc_roles": values.roles,
    "check_memory_mb": values.number(1, 100_000),
    "base_url": values.origin,
    "platform_origins": values.origins,
    "stripe_client_id": values.client_id,
    "secret_key": values.secret_key,
    "host": values.host,
    "port": values.number(1, 65535),
    "drain_seconds": values.number(0, 600),
    "web_workers": values.number(1, 64),
    "log_level": values.choice(LogLevel),
    "log_format": values.choice(LogFormat),
    "server": values.choice(Server),
}
_SECRET = {
    "database_url",
    "migration_database_url",
    "stripe_api_key",
    "stripe_platform_webhook_secrets",
    "stripe_connect_webhook_secrets",
    "stripe_other_mode_webhook_secrets",
    "platform_notification_secrets",
    "secret_key",
}
_FIELDS = {variable(field): field for field in _PARSERS}
_KNOWN = {*_FIELDS, "COLONNADE_REQUIRE_BROWSER"}  # the last is the tests'
