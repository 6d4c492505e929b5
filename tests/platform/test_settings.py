"""The environment becomes settings, or one error with every problem and no secret."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade.settings import Settings, SettingsError, ensure_secret_key, variable

KEY = "k" * 32
FIELDS = Settings.__struct_fields__
POSTGRES = {"database_url": "postgresql://colonnade_service:pw@db/colonnade", "secret_key": KEY}


def load(**fields: str) -> Settings:
    return Settings.load({variable(field): text for field, text in fields.items()})


def outcome(**fields: str) -> Settings | SettingsError:
    try:
        return load(**fields)
    except SettingsError as error:
        return error


def problems(**fields: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(**fields)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def test_an_empty_environment_runs_on_this_machine_alone() -> None:
    settings = Settings.load({"PATH": "/bin"})
    assert settings == Settings()
    assert settings.database_url is None
    assert settings.data_dir == Path(".colonnade")
    assert settings.host == "127.0.0.1"
    assert settings.base_url == "http://127.0.0.1:8000"
    assert not settings.livemode


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("data_dir", "/var/lib/colonnade", Path("/var/lib/colonnade")),
        ("data_dir", "~/colonnade", Path.home() / "colonnade"),
        ("data_dir", "", Path(".colonnade")),
        ("stripe_api_key", "sk_test_51Abc", "sk_test_51Abc"),
        ("stripe_api_key", " rk_test_51Abc\n", "rk_test_51Abc"),
        ("stripe_api_base", "http://localhost:9000", "http://localhost:9000"),
        ("stripe_api_base", "http://127.0.0.9:9000", "http://127.0.0.9:9000"),
        ("stripe_api_base", "http://[::1]:9000", "http://[::1]:9000"),
        ("stripe_api_base", "https://stripe.example", "https://stripe.example"),
        ("stripe_platform_webhook_secrets", "whsec_new, whsec_old", ("whsec_new", "whsec_old")),
        ("stripe_connect_webhook_secrets", "", ()),
        (
            "stripe_connect_webhook_secrets",
            "whsec_new,whsec_old@2026-12-01T00:00Z",
            ("whsec_new", "whsec_old@2026-12-01T00:00Z"),
        ),
        ("stripe_other_mode_webhook_secrets", "whsec_live", ("whsec_live",)),
        ("event_retention_days", "31", 31),
        ("ready_backlog_seconds", "900", 900),
        ("ready_watermark_seconds", "7200", 7200),
        ("worker_metrics_port", "9102", 9102),
        ("check_memory_mb", "256", 256),
        ("portal_sessions_per_minute", "5", 5),
        ("drain_seconds", "0", 0),
        ("portal_visit_retention_days", "7", 7),
        ("tenant_requests_per_minute", "0", 0),
        ("tenant_checks_per_minute", "90000", 90_000),
        ("wrong_keys_per_minute", "5", 5),
        ("trusted_proxies", "10.0.0.0/8, 192.0.2.1,2001:db8::/32", ("10.0.0.0/8", "192.0.2.1", "2001:db8::/32")),
        ("oidc_role_claim", "realm_access.roles", "realm_access.roles"),
        ("oidc_roles", "a=b=admin, staff=read", (("a=b", "admin"), ("staff", "read"))),
        ("base_url", "https://billing.example:8443", "https://billing.example:8443"),
        ("secret_key", KEY, KEY),
        ("host", "::", "::"),
        ("port", "65535", 65535),
        ("web_workers", "4", 4),
        ("log_level", "WARNING", "warning"),
        ("log_format", "json", "json"),
        ("server", "uvicorn", "uvicorn"),
    ],
)
def test_a_variable_sets_its_field(field: str, text: str, value: object) -> None:
    assert getattr(load(**{field: text}), field) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("postgres://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql://u@h1:5432,h2:5433/d?sslmode=require", "postgresql://u@h1:5432,h2:5433/d?sslmode=require"),
        ("postgresql://u@/d?host=/run/postgresql", "postgresql://u@/d?host=/run/postgresql"),
        ("postgresql://u:a%40b%2Fc@[::1]:5432/d", "postgresql://u:a%40b%2Fc@[::1]:5432/d"),
    ],
)
def test_a_database_url_is_kept_under_one_scheme(text: str, value: str) -> None:
    assert load(database_url=text, secret_key=KEY).database_url == value


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *[("database_url", text) for text in ("mysql://u:pw@h/d", "u:pw@h/d", "postgresql+asyncpg://u:pw@h/d")],
        *[("database_url", f"postgresql://u:{word}@h/d") for word in ("a/b", "a@b", "a#b", "a?b", "1/b", "1?b/c")],
        ("database_url", "postgresql://u:pw@h"),
        ("database_url", "postgresql://u:pw@h/"),
        ("migration_database_url", "sqlite:///pw.db"),
        ("data_dir", "~nobody-has-this-name/data"),
        *[("stripe_api_key", text) for text in ("pk_test_abc", "sk_test_", "sk_abc", "sk_test_a\x01b", "sk_test_a b")],
        *[("stripe_api_base", text) for text in ("http://stripe.example", "https://api.stripe.com/", "api.stripe.com")],
        *[("stripe_api_base", text) for text in ("https://u:pw@h", "https://h/v1", "http://127.0.0.1.evil.example")],
        *[
            ("stripe_platform_webhook_secrets", text)
            for text in (",", "whsec_", "whsec_a,", "secret", "whsec_a whsec_b")
        ],
        ("stripe_connect_webhook_secrets", "whsec_a,sk_test_b"),
        *[
            ("stripe_other_mode_webhook_secrets", f"whsec_a@{when}")
            for when in ("", "soon", "2026-12-01T00:00", "2026-13-01T00:00Z", "2026-12-01T00:00Z@")
        ],
        *[("event_retention_days", text) for text in ("30", "-1", "ten")],
        ("ready_backlog_seconds", "0"),
        ("ready_watermark_seconds", "59"),
        ("check_memory_mb", "0"),
        ("portal_sessions_per_minute", "0"),
        ("drain_seconds", "601"),
        ("portal_visit_retention_days", "6"),
        ("tenant_requests_per_minute", "-1"),
        ("wrong_keys_per_minute", "0"),
        *[("trusted_proxies", text) for text in ("10.0.0.1/8", "proxy", "10.0.0.1,", "*")],
        *[("oidc_roles", text) for text in ("staff", "=admin", "staff=root", "staff=admin,")],
        *[
            ("base_url", text)
            for text in ("billing.example", "https://h/", "https://h?x", "ftp://h", "http://h:0", "http://[::g]")
        ],
        *[("base_url", text) for text in ("http://h:65536", "http://[::::::]", "https://a b")],
        ("secret_key", "k" * 31),
        ("host", "a b"),
        *[("port", text) for text in ("0", "65536", "http", "-1", "8000.0", "٨٠")],
        *[("web_workers", text) for text in ("0", "65", "auto")],
        ("log_level", "verbose"),
        ("log_format", "xml"),
        ("server", "gunicorn"),
    ],
)
def test_a_bad_value_is_refused_by_name(field: str, text: str) -> None:
    (problem,) = problems(**({"database_url": "postgresql://h/d", "secret_key": KEY} | {field: text}))
    assert problem.startswith(variable(field) + " ")


def test_all_problems_are_told_at_once() -> None:
    found = problems(database_url="nonsense", stripe_api_key="nonsense", port="nonsense", prot="1")
    assert [problem.split()[0].removeprefix("COLONNADE_") for problem in found] == [
        "PROT", "DATABASE_URL", "STRIPE_API_KEY", "PORT", "SECRET_KEY",
    ]  # fmt: skip


def test_a_misspelt_variable_is_an_error_that_names_the_nearest() -> None:
    assert problems(stripe_apikey="sk_test_x") == (
        "COLONNADE_STRIPE_APIKEY is not a setting; the nearest is COLONNADE_STRIPE_API_KEY",
    )


def test_a_command_can_ask_for_what_it_needs() -> None:
    with pytest.raises(SettingsError, match="COLONNADE_STRIPE_API_KEY is required"):
        Settings.load({"COLONNADE_STRIPE_API_KEY": ""}, needs=["stripe_api_key"])


def test_an_external_database_needs_a_secret_key() -> None:
    assert problems(database_url=POSTGRES["database_url"]) == (
        "COLONNADE_SECRET_KEY is required when COLONNADE_DATABASE_URL is set",
    )


def test_a_migration_login_alone_is_refused() -> None:
    (problem,) = problems(migration_database_url="postgresql://owner:pw@db/colonnade")
    assert problem.startswith("COLONNADE_MIGRATION_DATABASE_URL needs COLONNADE_DATABASE_URL")


@pytest.mark.parametrize(("key", "live"), [("sk_test_a_live_b", False), ("rk_live_a", True), ("sk_live_a", True)])
def test_the_key_tells_the_mode(key: str, live: bool) -> None:
    assert load(stripe_api_key=key, base_url="https://billing.example").livemode is live


def test_a_live_key_needs_https() -> None:
    (problem,) = problems(stripe_api_key="sk_live_a", base_url="http://billing.example")
    assert problem.startswith("COLONNADE_BASE_URL must be https")


def test_notifications_reach_this_machine_with_a_test_key_alone() -> None:
    assert load(stripe_api_key="sk_test_a", notification_loopback="true").notification_loopback
    for key in ("sk_live_a", "rk_live_a"):
        (problem,) = problems(stripe_api_key=key, base_url="https://b.example", notification_loopback="true")
        assert problem.startswith("COLONNADE_NOTIFICATION_LOOPBACK is for development")


def test_the_platform_teams_endpoint_has_an_address_and_a_secret_that_signs() -> None:
    names = ("platform_notification_url", "platform_notification_secrets")
    good = ("https://team.example/hooks", f"whsec_{'A' * 32},whsec_{'B' * 44}")
    found = load(**dict(zip(names, good, strict=True)))
    assert (found.platform_notification_url, found.platform_notification_secrets) == (
        good[0],
        tuple(good[1].split(",")),
    )
    bad = (
        *((0, text) for text in ("http://team.example", "team.example", "https://u:p@h/x", "https:///x")),
        *((1, text) for text in ("secret", "whsec_abc", f"whsec_{'A' * 31}", f"whsec_{'A' * 32},", "A" * 32)),
    )
    for place, text in bad:
        (problem,) = problems(**dict(zip(names, good, strict=True)) | {names[place]: text})
        assert problem.startswith(variable(names[place]) + " must be ")
    for name, text in zip(names, good, strict=True):
        (problem,) = problems(**{name: text})
        assert "go together" in problem


def test_the_default_address_follows_the_port() -> None:
    assert load(port="9000").base_url == "http://127.0.0.1:9000"


SECRET = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=32, max_size=40).map("ZZ".__add__)
AROUND = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
HOLDERS = {
    "database_url": "postgresql://u:{}@h/d",
    "migration_database_url": "postgresql://u:{}@h/d",
    "stripe_api_key": "sk_test_{}",
    "stripe_platform_webhook_secrets": "whsec_{}",
    "stripe_connect_webhook_secrets": "whsec_{},whsec_old",
    "stripe_other_mode_webhook_secrets": "whsec_{}@2026-12-01T00:00Z",
    "secret_key": "{}",
}


@given(secret=SECRET, before=AROUND, after=AROUND, field=st.sampled_from(sorted(HOLDERS)))
def test_no_secret_is_ever_shown_valid_or_not(secret: str, before: str, after: str, field: str) -> None:
    valid = HOLDERS[field].format(secret)
    settings = load(**POSTGRES | {field: valid})
    assert secret not in f"{settings!r} {settings} {settings.__rich_repr__()}"
    damaged = outcome(**POSTGRES | {field: before + HOLDERS[field].format(secret + after)})
    assert secret not in f"{damaged!r} {damaged} {getattr(damaged, '__cause__', None)!r}"


@given(
    st.dictionaries(st.sampled_from(FIELDS), st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1)
)
def test_any_text_gives_settings_or_problems_that_name_variables(texts: dict[str, str]) -> None:
    found = outcome(**texts)
    if isinstance(found, SettingsError):
        assert found.problems
        assert {problem.split()[0] for problem in found.problems} <= {variable(field) for field in FIELDS}


@given(st.lists(st.from_regex(r"whsec_[A-Za-z0-9+/=]{1,40}", fullmatch=True), min_size=1, max_size=5))
def test_webhook_secrets_keep_their_order(secrets: list[str]) -> None:
    assert load(stripe_connect_webhook_secrets=",".join(secrets)).stripe_connect_webhook_secrets == tuple(secrets)


def test_loading_writes_nothing(tmp_path: Path) -> None:
    load(data_dir=str(tmp_path / "data"))
    assert not list(tmp_path.iterdir())


def test_the_given_secret_key_is_used_and_no_file_made(tmp_path: Path) -> None:
    assert ensure_secret_key(load(secret_key=KEY, data_dir=str(tmp_path))) == KEY
    assert not list(tmp_path.iterdir())


def test_processes_that_start_at_once_agree_on_one_private_secret_key(tmp_path: Path) -> None:
    script = "import os\nfrom colonnade.settings import *\nprint(ensure_secret_key(Settings.load(os.environ)))"
    environment = os.environ | {"COLONNADE_DATA_DIR": str(tmp_path / "data")}
    started = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    keys = {process.communicate()[0].strip() for process in started}
    assert len(keys) == 1
    assert len(keys.pop()) >= 32
    (file,) = (tmp_path / "data").iterdir()
    assert file.name == "secret_key"
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["short", f"{KEY},", f"{KEY},short", ",".join("abc" * 20)])
def test_a_damaged_secret_key_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret_key").write_text(f"{text}\n")
    with pytest.raises(SettingsError, match=r"COLONNADE_SECRET_KEY.*secret_key must have at least 32"):
        ensure_secret_key(load(data_dir=str(tmp_path)))


def test_a_secret_key_file_may_hold_several(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text(f" {KEY} , {KEY}2 \n")
    assert ensure_secret_key(load(data_dir=str(tmp_path))) == f"{KEY},{KEY}2"


def test_an_identity_provider_needs_its_audience() -> None:
    both = {"oidc_issuer": "https://idp.example/", "oidc_audience": "colonnade"}
    assert load(**both).oidc_issuer == "https://idp.example/"
    for alone in both:
        with pytest.raises(SettingsError, match="COLONNADE_OIDC_ISSUER and COLONNADE_OIDC_AUDIENCE go together"):
            load(**{alone: both[alone]})


@pytest.mark.parametrize("text", ["idp.example", "http://idp.example", "https://u:pw@h", "https://h?x"])
def test_an_identity_provider_is_named_by_an_https_url(text: str) -> None:
    (problem,) = problems(oidc_issuer=text, oidc_audience="colonnade")
    assert problem.startswith("COLONNADE_OIDC_ISSUER must be ")
