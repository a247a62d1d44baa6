"""Which series are the canary's, the stable version's, the service's."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_deploy.adapters.prometheus.subject import Selection
from pytest_deploy.domain.measurement import Kind, Objective, Role, Subject
from pytest_deploy.domain.query import RESTARTS
from pytest_deploy.errors import MeasurementError
from tests.unit.adapters.prometheus_server import Server

CANARY = Subject(service="svc", template_hash="6f7d", role=Role.CANARY, workload="check.out", namespace="shop")
STABLE = Subject(service="svc", template_hash="5a4b", role=Role.STABLE, workload="check.out", namespace="shop")
ALL = Subject(service="svc", workload="check.out")


def selection(**more: Any) -> Selection:
    """Make one that tells versions apart by what is given."""
    ways: dict[str, Any] = {"version_label": None, "pod_label": None, "canary_labels": {}, "stable_labels": {}}
    return Selection("service", **{**ways, **more})


@pytest.mark.parametrize(
    ("ways", "labels", "canary", "stable"),
    [
        ({}, (), (), ()),
        ({"version_label": "hash"}, ("hash",), ('hash="6f7d"',), ('hash="5a4b"',)),
        (
            {"pod_label": "pod"},
            ("pod",),
            (r'pod=~"check\\.out-6f7d-[a-z0-9]+"',),
            (r'pod=~"check\\.out-5a4b-[a-z0-9]+"',),
        ),
        (
            {"canary_labels": {"track": 'ca"nary'}, "stable_labels": {"track": "stable", "tier": "1"}},
            ("track", "tier"),
            (r'track="ca\"nary"',),
            ('track="stable"', 'tier="1"'),
        ),
    ],
)
def test_each_way_selects_a_version(
    ways: dict[str, Any], labels: tuple[str, ...], canary: tuple[str, ...], stable: tuple[str, ...]
) -> None:
    """Canary and stable version have matchers of their own beside the service's; the whole service has none."""
    chosen = selection(**ways)
    assert chosen.labels == labels
    assert chosen.tells_versions_apart is bool(labels)
    assert chosen(CANARY) == ('service="svc"', *canary)
    assert chosen(STABLE) == ('service="svc"', *stable)
    assert chosen(ALL) == chosen.service(CANARY) == ('service="svc"',)


def test_a_pod_is_known_by_its_hash_where_the_rollouts_name_is_not() -> None:
    """Any name before the pod-template hash will do, beside the service's label."""
    assert selection(pod_label="pod")(Subject(service="svc", template_hash="6f7d"))[1] == 'pod=~".+-6f7d-[a-z0-9]+"'


@pytest.mark.parametrize(
    ("ways", "words"),
    [
        ({"version_label": "a", "pod_label": "b"}, "three ways"),
        ({"pod_label": "b", "canary_labels": {"c": "1"}, "stable_labels": {"c": "2"}}, "three ways"),
        ({"canary_labels": {"c": "1"}}, "must both be there"),
        ({"stable_labels": {"c": "1"}}, "must both be there"),
        ({"canary_labels": {"c": "1"}, "stable_labels": {"c": "1"}}, "and differ"),
        ({"canary_labels": {"c d": "1"}, "stable_labels": {"c": "1"}}, "no name in Prometheus"),
        ({"pod_label": 'x="'}, "no name in Prometheus"),
    ],
)
def test_what_can_not_tell_versions_apart_is_refused(ways: dict[str, Any], words: str) -> None:
    """Two ways at once, one side alone, the same labels for both, or a label that is no name."""
    with pytest.raises(MeasurementError, match=words):
        selection(**ways)


IN_PROD = Subject(service="svc", namespace="prod")
NAMED = 'count(last_over_time({service="svc",__name__=~"http_requests_total",namespace="prod"}[300s]))'
ANY = 'count(last_over_time({service="svc",__name__=~"http_requests_total"}[300s]))'
ERRORS = Objective(kind=Kind.ERROR_RATE, limit=0.005)


def test_only_the_environments_namespace_is_read() -> None:
    """Where the series carry it: one name, and often one pod template, run in staging and in production."""
    server = Server()
    server.has(NAMED, 4)
    queries = server.read(ERRORS, subject=IN_PROD).queries
    assert all('namespace="prod"' in query for query in queries)
    asked = len(server.asked)
    server.read(ERRORS, subject=IN_PROD)
    assert sum(params["query"] == NAMED for params in server.asked) == 1, "it is found out once"
    assert len(server.asked) < 2 * asked


def test_series_without_a_namespace_are_of_one_place() -> None:
    """Or of a label of another name, which deploy.yaml can give; nothing is left out then."""
    server = Server()
    server.has(ANY, 4)
    assert not any("namespace=" in query for query in server.read(ERRORS, subject=IN_PROD).queries)
    other = Server(namespace_label="kubernetes_namespace")
    other.has(NAMED.replace("namespace=", "kubernetes_namespace="), 4)
    assert all('kubernetes_namespace="prod"' in q for q in other.read(ERRORS, subject=IN_PROD).queries)


def test_a_service_without_series_is_asked_about_again() -> None:
    """What is not known yet is not remembered: the first pod may be on its way."""
    server = Server()
    server.read(ERRORS, subject=IN_PROD)
    server.has(NAMED, 4)
    assert all('namespace="prod"' in query for query in server.read(ERRORS, subject=IN_PROD).queries)


def test_latencies_are_scoped_by_their_own_series() -> None:
    """A histogram's count, or a native histogram itself."""
    server = Server()
    names = "http_request_duration_seconds(_count)?"
    server.has(f'count(last_over_time({{service="svc",__name__=~"{names}",namespace="prod"}}[300s]))', 4)
    p95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)
    assert all('namespace="prod"' in query for query in server.read(p95, subject=IN_PROD).queries)


def test_a_canarys_restarts_count_from_its_pods_begin() -> None:
    """Its pods began with the deploy: what restarted before the window is its own, too; others count in the window."""
    restarts = Objective(kind=Kind.QUERY, limit=0, subject=RESTARTS)
    for role, since_begin in ((Role.CANARY, True), (Role.STABLE, False)):
        subject = Subject(service="svc", template_hash="6f7d", role=role, workload="api", namespace="prod")
        query = Server().read(restarts, subject=subject).queries[0]
        assert ("offset" not in query) is since_begin
        assert 'pod=~"api-6f7d-' in query
