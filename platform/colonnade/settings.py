"""The service's settings: `COLONNADE_*` environment variables, read once into one frozen struct."""

import difflib
import ipaddress
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self, get_args
from urllib.parse import urlsplit

import msgspec

from colonnade.webhooks.signature import WebhookSecret

PREFIX = "COLONNADE_"
SECRET_KEY_LENGTH = 32  # characters, at least

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
                file.write(secrets.token_urlsafe(SECRET_KEY_LENGTH) + "\n")
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            Path(draft).unlink()
    try:
        return _secret_key(path.read_text().strip())
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
    if settings.livemode and settings.notification_loopback:
        off = f"{variable('notification_loopback')} is for development"
        yield f"{off}: it cannot be on with a live {variable('stripe_api_key')}"
    if settings.livemode and not settings.base_url.startswith("https://"):
        yield f"{variable('base_url')} must be https with a live {variable('stripe_api_key')}"


def _shown(field: str, value: Any) -> str:
    return "'***'" if field in _SECRET and value else repr(value)


# Parsers. Each raises ValueError with the rest of a sentence that begins with the variable's name, and repeats
# the value only where it cannot be a secret.


def _postgres_url(text: str) -> str:
    # Not urlsplit: its errors repeat the password. An unescaped "/", "?", "#" or "@" in one would be read as the
    # end of the host's part.
    match = re.fullmatch(r"postgres(?:ql)?://((?:[^@/?#\s]*@)?[^@/?#\s]*/[^@/?#\s]+(?:\?[^#\s]*)?)", text)
    if match is None:
        raise ValueError(
            "must look like postgresql://user:password@host:port/database"
            " (percent-encode special characters in the password)"
        )
    return f"postgresql://{match[1]}"


def _stripe_key(text: str) -> str:
    if not re.fullmatch(r"(sk|rk)_(test|live)_[A-Za-z0-9_]+", text):
        raise ValueError("must be a Stripe key that begins with sk_test_, rk_test_, sk_live_ or rk_live_")
    return text


def _webhook_secrets(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(","))
    for part in found:
        try:
            WebhookSecret.parse(part)
        except ValueError as error:
            raise ValueError(f"must be one or more whsec_… secrets, separated by commas; one {error}") from None
    return found


def _secret_key(text: str) -> str:
    keys = [part.strip() for part in text.split(",")]
    if any(len(key) < SECRET_KEY_LENGTH for key in keys):
        raise ValueError(f"must have at least {SECRET_KEY_LENGTH} characters, each key where commas separate several")
    return ",".join(keys)


def _origin(text: str) -> str:
    match = re.fullmatch(r"https?://(?:[A-Za-z0-9._-]+|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{1,5}))?", text)
    if match is None or not 0 < int(match[2] or 443) <= 65535 or (match[1] is not None and _address(match[1]) is None):
        raise ValueError("must be http(s)://host or http(s)://host:port, with no slash at the end")
    return text


def _origins(text: str) -> tuple[str, ...]:
    return tuple(_origin(part.strip().lower()) for part in text.split(","))


def _client_id(text: str) -> str:
    if not re.fullmatch(r"ca_[A-Za-z0-9]+", text):
        raise ValueError("must be the id of a Connect application, ca_…")
    return text


def _stripe_base(text: str) -> str:
    origin = _origin(text)
    if origin.startswith("http://") and not _is_loopback(urlsplit(origin).hostname or ""):
        raise ValueError("must be https, except for a host such as 127.0.0.1 or localhost")
    return origin


def _issuer(text: str) -> str:
    parts = urlsplit(text)
    if not re.fullmatch(r"https?://[^\s?#@]+", text):
        raise ValueError("must be the issuer's URL, as its tokens name it")
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise ValueError("must be https, except for a host such as 127.0.0.1 or localhost")
    return text


def _networks(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(","))
    for part in found:
        try:
            ipaddress.ip_network(part)
        except ValueError:
            raise ValueError(f"must be addresses or networks such as 10.0.0.0/8, not {part!r}") from None
    return found


def _roles(text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in text.split(","):
        value, _, role = part.strip().rpartition("=")
        pairs.append((value, role))
        if not value or role not in ("admin", "support", "read"):
            raise ValueError("must be VALUE=ROLE, separated by commas, each ROLE one of admin, support, read")
    return tuple(pairs)


def _word(text: str) -> str:
    if not text.isprintable() or len(text) > 500:
        raise ValueError("must be printable, and not so long")
    return text


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _folder(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"names a home directory that does not exist: {text!r}") from None


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:-]+", text):
        raise ValueError(f"must be a host name or an address, not {text!r}")
    return text


def _number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a number from {low} to {high}, not {text!r}")
        return int(text)

    return parse


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"must be true or false, not {text!r}")
    return text.lower() == "true"


def _choice(kind: Any) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in get_args(kind):
            raise ValueError(f"must be one of {', '.join(get_args(kind))}, not {text!r}")
        return text.lower()

    return parse


_PARSERS: dict[str, Callable[[str], Any]] = {
    "database_url": _postgres_url,
    "migration_database_url": _postgres_url,
    "data_dir": _folder,
    "stripe_api_key": _stripe_key,
    "stripe_api_base": _stripe_base,
    "stripe_budget_percent": _number(1, 10_000),
    "stripe_platform_webhook_secrets": _webhook_secrets,
    "stripe_connect_webhook_secrets": _webhook_secrets,
    "stripe_other_mode_webhook_secrets": _webhook_secrets,
    "event_retention_days": _number(31, 3650),
    "sweep_seconds": _number(0, 7 * 86400),
    "portal_check_seconds": _number(0, 30 * 86400),
    "ready_backlog_seconds": _number(1, 7 * 86400),
    "ready_watermark_seconds": _number(60, 30 * 86400),
    "worker_metrics_port": _number(1, 65535),
    "notification_loopback": _switch,
    "portal_sessions_per_minute": _number(1, 1_000_000),
    "portal_visit_retention_days": _number(7, 3650),
    "tenant_requests_per_minute": _number(0, 100_000_000),
    "tenant_checks_per_minute": _number(0, 100_000_000),
    "wrong_keys_per_minute": _number(1, 1_000_000),
    "trusted_proxies": _networks,
    "oidc_issuer": _issuer,
    "oidc_audience": _word,
    "oidc_role_claim": _word,
    "oidc_roles": _roles,
    "check_memory_mb": _number(1, 100_000),
    "base_url": _origin,
    "platform_origins": _origins,
    "stripe_client_id": _client_id,
    "secret_key": _secret_key,
    "host": _host,
    "port": _number(1, 65535),
    "drain_seconds": _number(0, 600),
    "web_workers": _number(1, 64),
    "log_level": _choice(LogLevel),
    "log_format": _choice(LogFormat),
    "server": _choice(Server),
}
_SECRET = {
    "database_url",
    "migration_database_url",
    "stripe_api_key",
    "stripe_platform_webhook_secrets",
    "stripe_connect_webhook_secrets",
    "stripe_other_mode_webhook_secrets",
    "secret_key",
}
_FIELDS = {variable(field): field for field in _PARSERS}
_KNOWN = {*_FIELDS, "COLONNADE_REQUIRE_BROWSER"}  # the last is the tests'
