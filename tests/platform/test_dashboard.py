"""The dashboard and the alerts show metrics that exist, by labels that they have; no label grows without bound."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.metrics import MetricWrapperBase

import colonnade.observability
from colonnade.tallies import Tally, Times
from tests.platform.deliveries import Running, event

GRAFANA = Path(__file__).parents[2] / "docs/grafana"
OPERATIONS = (Path(__file__).parents[2] / "docs/operations.md").read_text()
OF_PROMETHEUS = {"instance", "job", "le"}
ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}


def labels_of(metric: Any) -> tuple[str, ...]:
    """Of one of ours: `Tally` and `Times` are not prometheus_client's."""
    if described := getattr(metric, "_described", None):
        return tuple(described[2])
    own = (metric._name,) if metric._type == "stateset" else ()
    return (*metric._labelnames, *own)


def exported() -> dict[str, set[str]]:
    """Every series' name and its labels."""
    found = {}
    for collector in vars(colonnade.observability).values():
        if isinstance(collector, (Tally, Times, MetricWrapperBase)):
            (family,) = collector.collect()
            for ending in ENDINGS.get(family.type, ("",)):
                found[family.name + ending] = set(labels_of(collector))
    return found


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads((GRAFANA / "colonnade.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((GRAFANA / "alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def used(expression: str) -> Iterator[tuple[str, set[str]]]:
    """The metrics of *expression*, each with the labels that it is selected or grouped by."""
    groups = r"\bby \(([^)]*)\)"
    grouped = {name.strip() for part in re.findall(groups, expression) for name in part.split(",")}
    for name, selector in re.findall(r"\b(colonnade_\w+)(\{[^}]*\})?", re.sub(groups, "", expression)):
        yield name, grouped | set(re.findall(r"(\w+)\s*[=!]~?\"", selector))


EXPRESSIONS = [target["expr"] for panel in panels() for target in panel["targets"]] + [rule["expr"] for rule in rules()]


def test_each_expression_uses_series_that_are_exported_by_labels_that_they_have() -> None:
    series = exported()
    for expression in EXPRESSIONS:
        found = list(used(expression))
        assert found, expression
        for name, labels in found:
            assert name in series, expression
            assert labels <= series[name] | OF_PROMETHEUS, expression


def test_what_a_legend_names_is_grouped_by() -> None:
    for panel in panels():
        for target in panel["targets"]:
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            allowed = set().union(*(labels for _, labels in used(target["expr"]))) | {"instance"}
            assert named <= allowed, panel["title"]


def test_the_dashboard_shows_every_metric() -> None:
    shown = {name for expression in EXPRESSIONS for name, _ in used(expression)}
    families = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in exported()}
    assert {re.sub(r"_(total|bucket)$", "", name) for name in shown} == families


def test_each_panel_says_what_it_shows_and_in_what() -> None:
    titles = [panel["title"] for panel in panels()]
    assert len(titles) == len(set(titles))
    for panel in panels():
        assert panel["title"]
        assert len(panel["description"]) > 10
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24


def test_each_alert_waits_and_says_what_to_do() -> None:
    for rule in rules():
        assert rule["for"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "cure"}


def test_what_is_missed_where_no_web_process_is_scraped_is_not_shown_by_a_worker() -> None:
    """A gauge without labels is there from its import on."""
    program = "import colonnade.webhooks.worker, prometheus_client as p; print(p.generate_latest().decode())"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    missed = [series for rule in rules() for series in re.findall(r"absent\((\S+?)\)", rule["expr"])]
    assert missed
    assert "colonnade_inbox_oldest_seconds 0.0" in shown
    assert not [series for series in missed if re.search(f"^{re.escape(series)}[ {{]", shown, re.MULTILINE)]


def test_the_page_lists_every_metric_with_its_labels_and_bounds_every_label() -> None:
    listed = dict(re.findall(r"^\| `(colonnade_\w+)(?:\{([\w,]+)\})?` \|", OPERATIONS, re.MULTILINE))
    series = {re.sub("_bucket$", "", name): labels for name, labels in exported().items()}
    series = {name: labels for name, labels in series.items() if not name.endswith(("_count", "_sum"))}
    assert {name: set(filter(None, labels.split(","))) for name, labels in listed.items()} == series
    table = OPERATIONS.partition("| label | values |\n| --- | --- |\n")[2].partition("\n\n")[0]
    bounded = {name for line in table.splitlines() for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert bounded == set().union(*series.values())


COUNTED = ("colonnade_requests_total", "colonnade_request_seconds_count", "colonnade_events_")


async def test_what_strangers_send_makes_no_series(running: Running) -> None:
    client, _ = running

    async def series() -> set[str]:
        text = (await client.client.get("/metrics")).text
        assert "_created{" not in text, "the library's own second series beside each"
        return {line.rpartition(" ")[0] for line in text.splitlines() if line.startswith(COUNTED)}

    async def bother(number: int) -> None:
        await client.client.request(f"BREW{number}", f"/coffee/{number}")
        await client.client.get(f"/v1/tenants/ten_{number}/customers/{number}?x={number}")
        await client.client.get(f"/webhooks/stripe/platform/{number}")
        await client.deliver(event(f"stranger.thing.{number}"))
        await client.post(b"{}", {"Stripe-Signature": f"t={number},v1=0"})

    await bother(0)
    await series()  # this is a request too
    before = await series()
    for number in range(1, 6):
        await bother(number)
    assert await series() == before
    assert 'colonnade_events_stored_total{endpoint="platform",type="other"}' in before
