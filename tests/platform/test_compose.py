"""What runs in production, read from the compose file and the Dockerfile: no engine is needed."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.sdk import environment_variables

import colonnade
from colonnade.server import LEAVING, STOPPING
from colonnade.setting_values import SECRET_KEY_LENGTH
from colonnade.settings import Settings, variable
from colonnade.tracing.switch import wanted

ROOT = Path(__file__).parents[2]
OURS = ("migrate", "web", "worker")
VARIABLES = {
    "POSTGRES_PASSWORD": "adminpassword",
    "COLONNADE_SERVICE_PASSWORD": "servicepassword",
    "COLONNADE_SECRET_KEY": "k" * SECRET_KEY_LENGTH,
    "COLONNADE_BASE_URL": "https://billing.example",
    "COLONNADE_STRIPE_API_KEY": "sk_live_x",
    "COLONNADE_STRIPE_PLATFORM_WEBHOOK_SECRETS": "whsec_new,whsec_old",
    "COLONNADE_STRIPE_CONNECT_WEBHOOK_SECRETS": "whsec_c",
}
LATER = {name for name in VARIABLES if name.endswith("_WEBHOOK_SECRETS")}
"""What the first start cannot know: `webhooks provision` prints it, and needs the database that this start makes."""
REFERENCE = re.compile(r"\$\{([A-Z_]+)(?::([?-])([^}]*))?\}")


@pytest.fixture(scope="module")
def text() -> str:
    return (ROOT / "docker-compose.yml").read_text()


@pytest.fixture(scope="module")
def services(text: str) -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


@pytest.fixture(scope="module")
def stages() -> list[list[tuple[str, str]]]:
    """The Dockerfile's instructions, by stage."""
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    stages: list[list[tuple[str, str]]] = []
    for line in lines:
        if line.strip() and not line.startswith("#"):
            instruction, _, rest = line.partition(" ")
            if instruction == "FROM":
                stages.append([])
            stages[-1].append((instruction, " ".join(rest.split())))
    return stages


def environment(service: dict[str, Any], variables: dict[str, str] = VARIABLES) -> dict[str, str]:
    """A service's environment, as the engine would fill it in."""

    def fill(match: re.Match[str]) -> str:
        return variables.get(match[1]) or (match[3] if match[2] == "-" else pytest.fail(f"{match[1]} is not given"))

    # One without a value is passed on where it is set.
    given = {name: variables.get(name) if text is None else text for name, text in service["environment"].items()}
    return {name: REFERENCE.sub(fill, text) for name, text in given.items() if text is not None}


def image_environment(stages: list[list[tuple[str, str]]]) -> dict[str, str]:
    pairs = [pair.split("=", 1) for instruction, rest in stages[-1] if instruction == "ENV" for pair in rest.split()]
    return {name: value for name, value in pairs if name.startswith("COLONNADE_")}


def test_the_services_are_the_database_the_migration_web_and_worker(services: dict[str, Any]) -> None:
    assert set(services) == {"postgres", *OURS}
    assert [services[name]["command"] for name in OURS] == [["migrate"], ["serve"], ["worker"]]


def test_every_image_is_pinned_to_one_version(services: dict[str, Any]) -> None:
    assert re.fullmatch(r"postgres:18\.\d+-[a-z]+", services["postgres"]["image"])
    assert {services[name]["image"] for name in OURS} == {f"colonnade:{colonnade.__version__}"}


def test_web_and_worker_wait_for_a_healthy_database_and_a_finished_migration(services: dict[str, Any]) -> None:
    healthy = {"postgres": {"condition": "service_healthy"}}
    migrated = healthy | {"migrate": {"condition": "service_completed_successfully"}}
    assert services["migrate"]["depends_on"] == healthy
    assert services["web"]["depends_on"] == migrated
    assert services["worker"]["depends_on"] == migrated


def test_the_migration_runs_once_and_the_rest_come_back(services: dict[str, Any]) -> None:
    policies = {name: service["restart"] for name, service in services.items()}
    assert policies.pop("migrate") == "no"
    assert set(policies.values()) == {"unless-stopped"}


@pytest.mark.parametrize(
    ("name", "word"), [("postgres", "pg_isready"), ("web", "/health/ready"), ("worker", "colonnade.heartbeat")]
)
def test_what_keeps_running_has_a_health_check_of_its_own(services: dict[str, Any], name: str, word: str) -> None:
    check = services[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert word in " ".join(check["test"])
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_do_little(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "user", "volumes"} & set(service)


def test_the_database_is_not_published_and_keeps_its_data_in_a_volume(text: str, services: dict[str, Any]) -> None:
    assert "ports" not in services["postgres"]
    assert services["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    assert yaml.safe_load(text)["volumes"] == {"postgres": {}}
    assert yaml.safe_load(text)["networks"]["database"] == {"internal": True}
    assert services["postgres"]["networks"] == ["database"]
    assert services["web"]["ports"] == ["127.0.0.1:8000:8000"]


@pytest.mark.parametrize("missing", sorted(VARIABLES.keys() - LATER))
def test_every_secret_comes_from_outside_and_is_asked_for(text: str, missing: str) -> None:
    references = [match for match in REFERENCE.finditer(text) if match[1] == missing]
    assert references
    assert all(match[2] == "?" and match[3] for match in references)


@pytest.mark.parametrize("name", OURS)
def test_the_first_start_needs_no_secret_of_a_webhook_endpoint(services: dict[str, Any], name: str) -> None:
    first = {variable: value for variable, value in VARIABLES.items() if variable not in LATER}
    settings = Settings.load(environment(services[name], first))
    assert settings.stripe_platform_webhook_secrets == settings.stripe_connect_webhook_secrets == ()


def test_what_provisioning_prints_goes_into_the_environment_as_it_is(text: str, services: dict[str, Any]) -> None:
    assert ">> .env" in text
    printed = {
        "COLONNADE_STRIPE_PLATFORM_WEBHOOK_SECRETS": "whsec_a",
        "COLONNADE_STRIPE_CONNECT_WEBHOOK_SECRETS": "whsec_b",
    }
    assert printed.keys() == LATER
    for name in ("web", "worker"):
        settings = Settings.load(environment(services[name], VARIABLES | printed))
        assert settings.stripe_platform_webhook_secrets == ("whsec_a",)
        assert settings.stripe_connect_webhook_secrets == ("whsec_b",)


def test_the_file_holds_no_secret(text: str) -> None:
    for line in REFERENCE.sub("", text).splitlines():
        assert not re.search(r"(sk|rk)_(test|live)_|whsec_[A-Za-z0-9]|://[^:/@ ]+:[^@ ]+@", line), line
        name, _, value = line.partition(":")
        if re.search("PASSWORD|SECRET|API_KEY", name):
            assert not value.strip(), line


@pytest.mark.parametrize("name", OURS)
def test_the_settings_accept_what_a_container_is_given(
    services: dict[str, Any], stages: list[list[tuple[str, str]]], name: str
) -> None:
    settings = Settings.load(image_environment(stages) | environment(services[name]))
    assert settings.database_url == "postgresql://colonnade_service:servicepassword@postgres:5432/colonnade"
    assert (settings.host, settings.port, settings.log_format) == ("0.0.0.0", 8000, "json")  # noqa: S104
    assert settings.livemode is (name != "migrate")


def test_the_proxy_before_the_service_can_be_named(services: dict[str, Any]) -> None:
    given = environment(services["web"], VARIABLES | {"COLONNADE_TRUSTED_PROXIES": "172.18.0.0/16"})
    assert Settings.load(given).trusted_proxies == ("172.18.0.0/16",)


OF_THE_IMAGE = {"data_dir", "host", "port", "log_format"}
NOT_FOR_PRODUCTION = {"stripe_api_base", "notification_loopback", "server"}
SECRETS = {name.removeprefix("COLONNADE_") for name in LATER}


def test_each_setting_can_be_given_to_the_deployment(services: dict[str, Any]) -> None:
    given = {name for each in OURS for name in services[each]["environment"]}
    wanted = set(Settings.__struct_fields__) - OF_THE_IMAGE - NOT_FOR_PRODUCTION
    assert {name for name in given if name.startswith("COLONNADE_")} == {variable(field) for field in wanted}


def test_a_setting_is_where_its_name_is_and_changes_nothing_until_it_is_set(services: dict[str, Any]) -> None:
    for name in ("web", "worker"):
        plain = Settings.load(environment(services[name]))
        for given, text in services[name]["environment"].items():
            assert (
                text is None or given.removeprefix("POSTGRES_") in REFERENCE.sub(r"\1", text) or "DATABASE_URL" in given
            )
        changed = {field for field in Settings.__struct_fields__ if getattr(plain, field) != getattr(Settings(), field)}
        asked_for = {"database_url", "secret_key", "base_url", "stripe_api_key", *map(str.lower, SECRETS)}
        assert changed == asked_for | ({"worker_metrics_port"} if name == "worker" else set())


def test_the_web_process_has_the_time_that_it_takes_to_stop(services: dict[str, Any]) -> None:
    seconds = int(services["web"]["stop_grace_period"].removesuffix("s"))
    assert seconds >= Settings.load(environment(services["web"])).drain_seconds + STOPPING + LEAVING + 5


def test_prometheus_finds_what_the_page_tells_it_to_ask(services: dict[str, Any]) -> None:
    page = (ROOT / "docs/operations.md").read_text()
    (job,) = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["web:8000", "worker:9000"]}]
    assert Settings.load(environment(services["worker"])).worker_metrics_port == 9000
    assert all("outside" in services[name]["networks"] for name in ("web", "worker"))
    assert "ports" not in services["worker"]


def test_traces_are_turned_on_by_their_own_variables_in_both_processes(services: dict[str, Any]) -> None:
    on = VARIABLES | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
    for name in ("web", "worker"):
        assert wanted(environment(services[name])) is None
        assert wanted(environment(services[name], on)) == "otlp"
        assert not any(each.startswith("OTEL_") for each in environment(services[name]))


def test_each_of_opentelemetrys_variables_that_the_page_names_is_passed_on_as_it_is(services: dict[str, Any]) -> None:
    table = (ROOT / "docs/operations.md").read_text().partition("## Traces")[2].partition("### ")[0]
    named = set(re.findall(r"`(OTEL_[A-Z_]+)[`=]", table))
    named |= {f"OTEL_EXPORTER_OTLP_{ending}" for ending in re.findall(r"`…_([A-Z]+)`", table)}
    batch = (
        {name for name in vars(environment_variables) if name.startswith("OTEL_BSP_")}
        if "`OTEL_BSP_*`" in table
        else set()
    )
    assert len(batch) == 4
    for name in ("web", "worker"):
        given = services[name]["environment"]
        assert not {each for each in named | batch if given.get(each, "missing") is not None}


def test_what_one_process_alone_is_given_is_nothing_that_a_command_goes_by(services: dict[str, Any]) -> None:
    """Commands run in the container of either."""
    alone = services["web"]["environment"].keys() ^ services["worker"]["environment"].keys()
    fields = {name.removeprefix("COLONNADE_").lower() for name in alone}
    commands = (ROOT / "platform/colonnade/commands").glob("*.py")
    used = {field for each in commands for field in re.findall(r"\bsettings\.(\w+)", each.read_text())}
    assert "event_retention_days" in used
    assert not fields & used


def test_only_the_migration_knows_the_administrators_password(services: dict[str, Any]) -> None:
    knows = {name for name, service in services.items() if "adminpassword" in str(environment(service))}
    assert knows == {"postgres", "migrate"}
    migration = Settings.load(environment(services["migrate"])).migration_database_url
    assert migration == "postgresql://postgres:adminpassword@postgres:5432/colonnade"


def test_both_stages_of_the_image_are_one_pinned_slim_python(stages: list[list[tuple[str, str]]]) -> None:
    images = {stage[0][1].split(" AS ")[0] for stage in stages}
    (image,) = images
    assert re.fullmatch(r"python:3\.13\.\d+-slim-[a-z]+", image)


def test_the_image_runs_as_a_numeric_user_without_build_tools(stages: list[list[tuple[str, str]]]) -> None:
    final = dict(stages[-1])
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", final["USER"])
    assert "COPY" in final
    assert final["COPY"].startswith("--from=build ")
    everything = " ".join(rest for stage in stages for _, rest in stage)
    assert not re.search(r"\b(apt-get|gcc|build-essential|curl|dev|embedded)\b", everything)
    assert "--constraint constraints.txt" in everything
    assert "pip uninstall --yes pip" in everything


def test_the_images_and_the_compose_files_health_check_are_the_same(
    services: dict[str, Any], stages: list[list[tuple[str, str]]]
) -> None:
    final = dict(stages[-1])
    command = json.loads(final["HEALTHCHECK"].partition(" CMD ")[2])
    assert ["CMD", *command] == services["web"]["healthcheck"]["test"]
    assert (json.loads(final["ENTRYPOINT"]), json.loads(final["CMD"])) == (["colonnade"], ["serve"])


def test_the_health_check_fails_while_nothing_serves(services: dict[str, Any]) -> None:
    _, python, *arguments = services["web"]["healthcheck"]["test"]
    assert python == "python"
    unused = [argument.replace(":8000/", ":1/") for argument in arguments]
    assert subprocess.run([sys.executable, *unused], capture_output=True, check=False).returncode == 1


def test_the_build_context_holds_the_sources_and_nothing_private() -> None:
    ignored, *kept = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored == "*"
    names = {line.removeprefix("!") for line in kept if line.startswith("!")}
    assert names == {
        "LICENSE", "README.md", "constraints.txt", "migrations", "platform", "pyproject.toml", "sandbox", "tenants",
    }  # fmt: skip
    assert all((ROOT / name).exists() for name in names)
