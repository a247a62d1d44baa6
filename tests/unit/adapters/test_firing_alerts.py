"""Alerts that fire before a deploy: named from Prometheus' own rules, and only believed where rules are at work."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx2
import pytest

from pytest_deploy.errors import DeployError, Faulted, GateBreach, Refused, Unreachable
from tests.unit.adapters.prometheus_server import NOW, Server


def group(*alerts: dict[str, Any], age_s: float = 5, **more: Any) -> dict[str, Any]:
    """Return a group with one rule, evaluated some seconds ago, and its alerts."""
    rule = {
        "type": "alerting",
        "name": "TooManyErrors",
        "query": 'rate{service="checkout-api"} > 1',
        "labels": {},
        "health": "ok",
        "lastEvaluation": (NOW - timedelta(seconds=age_s)).isoformat(),
        "alerts": list(alerts),
        **more,
    }
    return {"interval": 15, "rules": [{"type": "recording", "name": "r", "health": "ok"}, rule]}


def alert(state: str = "firing", service: str = "checkout-api", **labels: str) -> dict[str, Any]:
    """Return an alert as the rules list it."""
    return {
        "labels": {"alertname": "TooManyErrors", "severity": "page", "service": service, **labels},
        "annotations": {"summary": "5xx above 5 %"},
        "state": state,
        "activeAt": "2027-01-15T08:00:00Z",
        "value": "1e+00",
    }


def ask(server: Server, label: str | None = None) -> str:
    """Ask for the service's alerts."""
    return server.port.firing_alerts(label)("service:checkout-api").words


def test_none_fires() -> None:
    """Pending ones, and those of other services, do not."""
    server = Server()
    server.groups = [group(alert("pending"), alert(service="search-api"))]
    assert ask(server) == 'Prometheus: none of 1 alerting rules fires with service="checkout-api"'


def test_one_fires() -> None:
    """With its name, severity, age and what it says of itself; further ones are counted and attached."""
    server = Server()
    server.groups = [group(*(alert(pod=str(n)) for n in range(7)))]
    with pytest.raises(GateBreach) as caught:
        ask(server)
    told = str(caught.value)
    assert '7 alerts with service="checkout-api" fire' in told
    assert "TooManyErrors (page), since 2027-01-15T08:00:00Z: 5xx above 5 %" in told
    assert "and 2 more" in told
    assert "next: " in told
    assert caught.value.attachments[0].text.count("\n") == 6


def test_the_label_can_be_another() -> None:
    """Where alerts name the service otherwise than its metrics do."""
    server = Server()
    server.groups = [group(alert(service="x", app="checkout-api"))]
    assert "none of 1" in ask(server)
    with pytest.raises(GateBreach, match='app="checkout-api"'):
        ask(server, "app")


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        ([], "no alerting rule is loaded"),
        ([group(health="err", lastError="many-to-many")], "many-to-many"),
        ([group(age_s=31)], "31 s ago, at most 30 s"),
    ],
)
def test_rules_that_could_not_fire_are_no_none(groups: list[Any], told: str) -> None:
    """No rule, one that fails, and one that is not evaluated any more."""
    server = Server()
    server.groups = groups
    with pytest.raises(Refused, match=told):
        ask(server)


@pytest.mark.parametrize("groups", [None, [1], [{}], [{"interval": 15, "rules": [1]}], "hidden"])
def test_what_makes_no_sense_is_no_none(groups: Any) -> None:
    """Nor is a server that does not show its rules."""
    server = Server()
    server.groups = groups
    with pytest.raises(DeployError):
        ask(server)


def test_alerts_without_a_state_are_a_fault() -> None:
    """A rule's alerts as nobody documents them."""
    server = Server()
    server.groups = [group({"labels": {}})]
    with pytest.raises(Faulted, match="rules that make no sense"):
        ask(server)


def test_a_server_that_is_gone_is_no_none() -> None:
    """It is unreachable."""

    def refuse() -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    server = Server()
    server.answer = refuse
    with pytest.raises(Unreachable):
        ask(server)
