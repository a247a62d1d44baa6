"""The traffic source: shares as the cluster says, counters that carry fractions, faults that are played."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pytest_deploy.domain.synthetic import BUCKETS_S, Behaviour
from pytest_deploy.sandbox.faults import parse
from pytest_deploy.sandbox.tally import Tally, exposition
from pytest_deploy.sandbox.traffic import Source
from pytest_deploy.sandbox.weights import ERROR_RATE, P95_MS, RPS, Version, versions

START = datetime(2026, 11, 24, tzinfo=UTC)


def rollout(*, stable: str = "old", routed: dict[str, Any] | None = None, rps: str | None = None) -> dict[str, Any]:
    """Return a Rollout as the API gives it."""
    canary: dict[str, Any] = {"steps": []} | ({"trafficRouting": {"traefik": {}}} if routed else {})
    status: dict[str, Any] = {"stableRS": stable} | ({"canary": {"weights": routed}} if routed else {})
    annotations = {RPS: rps} if rps else {}
    meta = {"name": "checkout-api", "namespace": "prod", "uid": "u1", "annotations": annotations}
    return {"metadata": meta, "spec": {"strategy": {"canary": canary}}, "status": status}


def replica_set(name: str, ready: int, revision: int, **annotations: str) -> dict[str, Any]:
    """Return a ReplicaSet of that Rollout."""
    return {
        "metadata": {
            "name": f"checkout-api-{name}",
            "labels": {"rollouts-pod-template-hash": name},
            "annotations": {"rollout.argoproj.io/revision": str(revision)},
            "ownerReferences": [{"uid": "u1"}],
        },
        "spec": {"template": {"metadata": {"annotations": annotations or None}}},
        "status": {"readyReplicas": ready} if ready else {},
    }


def version(name: str = "old", rps: float = 100.0, *, canary: bool = False, **how: Any) -> Version:
    """Return a version that is served."""
    return Version(
        namespace="prod",
        service="checkout-api",
        pod_template_hash=name,
        requests_per_s=rps,
        serves=how.pop("serves", True),
        behaviour=Behaviour(**how),
        canary=canary,
    )


def test_each_ready_pod_gets_the_same() -> None:
    """Without a traffic router, 1 ready pod of 20 is 5 % of 100 requests per second."""
    old, new = versions([rollout()], [replica_set("old", 19, 1), replica_set("new", 1, 2)])
    assert (old.pod_template_hash, old.requests_per_s, old.canary) == ("old", 95, False)
    assert (new.pod_template_hash, new.requests_per_s, new.canary) == ("new", 5, True)


def test_pods_that_are_not_ready_get_nothing() -> None:
    """A version whose pods are not ready gets no request, and without any ready pod there is no traffic."""
    (only,) = versions([rollout()], [replica_set("old", 3, 1), replica_set("new", 0, 2)])
    assert only.pod_template_hash == "old"
    assert list(versions([rollout()], [replica_set("old", 0, 1)])) == []


def test_a_router_s_weights_count() -> None:
    """With a traffic router the weights of the status decide, whatever the pods are."""
    weights = {"canary": {"podTemplateHash": "new", "weight": 25}, "stable": {"podTemplateHash": "old", "weight": 75}}
    found = versions([rollout(routed=weights)], [replica_set("old", 10, 1), replica_set("new", 0, 2)])
    assert {it.pod_template_hash: (it.requests_per_s, it.serves) for it in found} == {
        "old": (75, True),
        "new": (25, False),
    }


def test_annotations_set_the_behaviour() -> None:
    """Requests per second come from the Rollout, errors and latency from the pod template; rubbish is as if absent."""
    rubbish, marked = {ERROR_RATE: "lots", P95_MS: "-1"}, {ERROR_RATE: "0.05", P95_MS: "900"}
    sets = [replica_set("old", 1, 1, **rubbish), replica_set("new", 1, 2, **marked)]
    good, bad = versions([rollout(rps="40")], sets)
    assert good.requests_per_s == 20
    assert good.behaviour == Behaviour()
    assert bad.behaviour == Behaviour(error_rate_ratio=0.05, p95_ms=900)


def test_the_old_version_rolled_back_to_is_no_canary() -> None:
    """After a rollback the old ReplicaSet has the highest revision, and is still the stable one."""
    (only,) = versions([rollout(stable="old")], [replica_set("old", 10, 3), replica_set("new", 0, 2)])
    assert not only.canary


def test_there_is_no_5xx_series_before_the_first_5xx() -> None:
    """A perfect version has no error series at all; one that fails has it from its first whole error on."""
    tally = Tally()
    bad = version(error_rate_ratio=0.01)
    tally.grow([bad], 0.5)
    assert not any("503" in series for series, _ in tally.samples())
    tally.grow([bad], 0.5)
    found = dict(tally.samples())
    labels = 'service="checkout-api",namespace="prod",pod_template_hash="old"'
    assert found[f'http_requests_total{{{labels},status="503"}}'] == 1
    assert found[f'http_requests_total{{{labels},status="200"}}'] == 99


def test_fractions_are_carried() -> None:
    """A thousand spans of a thousandth of a request make one request, not none."""
    tally = Tally()
    for _ in range(1001):
        tally.grow([version(rps=1)], 0.001)
    labels = 'service="checkout-api",namespace="prod",pod_template_hash="old"'
    assert dict(tally.samples())[f"http_request_duration_seconds_count{{{labels}}}"] == 1


def test_the_histogram_is_whole() -> None:
    """Buckets rise, the last equals the count, and count equals the requests of all statuses."""
    tally = Tally()
    tally.grow([version(error_rate_ratio=0.1, p95_ms=900)], 10)
    found = list(tally.samples())
    buckets = [value for series, value in found if "_bucket" in series]
    assert len(buckets) == len(BUCKETS_S)
    assert buckets == sorted(buckets)
    (count,) = [value for series, value in found if "_count" in series]
    assert buckets[-1] == count == sum(value for series, value in found if "requests_total" in series)


def test_a_version_that_cannot_serve_fails() -> None:
    """What a router sends to a version without ready pods is answered with 503s."""
    tally = Tally()
    tally.grow([version(serves=False)], 1)
    assert [value for series, value in tally.samples() if 'status="503"' in series] == [100]


def test_a_version_without_requests_is_gone() -> None:
    """With its last pod a version's series vanish, and begin at zero if it comes back."""
    tally = Tally()
    tally.grow([version("old"), version("new")], 1)
    tally.grow([version("old")], 1)
    assert not any("new" in series for series, _ in tally.samples())


def test_the_text_is_prometheus_format() -> None:
    """Each family has its TYPE before its samples, and +Inf is written as Prometheus reads it."""
    tally = Tally()
    tally.grow([version()], 1)
    lines = exposition(tally.samples()).splitlines()
    assert lines[1] == "# TYPE http_requests_total counter"
    assert lines[4] == "# TYPE http_request_duration_seconds histogram"
    assert any('le="+Inf"} 100' in line for line in lines)


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        """Return the moment."""
        return START + timedelta(seconds=self.seconds)


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands."""
    return Clock()


@pytest.fixture
def source(clock: Clock) -> Source:
    """Give a source that knows a stable version and a canary."""
    source = Source(lambda: clock.seconds, clock.now)
    source.tick([version("old", 95), version("new", 5, canary=True)])
    return source


def put(source: Source, *entries: dict[str, object]) -> list[dict[str, Any]]:
    """Replace the list of faults."""
    status, text = source.replace_faults(json.dumps(entries).encode())
    assert status == 200, text
    found: list[dict[str, Any]] = json.loads(text)
    return found


def test_a_fault_begins_with_its_first_request(source: Source, clock: Clock) -> None:
    """5 % of 5 requests per second show first after 4 seconds, and only on the canary."""
    (played,) = put(source, {"what": "error rate", "amount": 0.05})
    assert (played["version"], played["began"]) == ("new", None)
    clock.seconds = 3
    assert "503" not in source.metrics()[1]
    clock.seconds = 4
    assert 'pod_template_hash="new",status="503"} 1' in source.metrics()[1]
    assert 'pod_template_hash="old",status="503"' not in source.metrics()[1]
    assert json.loads(source.faults()[1])[0]["began"] == "2026-11-24T00:00:04+00:00"


def test_newest_waits_for_a_canary_and_stays_with_it(clock: Clock) -> None:
    """A fault that is set before there is a canary takes the first one, and does not leave it for a later one."""
    source = Source(lambda: clock.seconds, clock.now)
    source.tick([version("old")])
    assert put(source, {"what": "p95 latency", "amount": 0.9})[0]["version"] == "newest"
    source.tick([version("old", 95), version("new", 5, canary=True)])
    assert json.loads(source.faults()[1])[0]["version"] == "new"
    source.tick([version("new", 95), version("newer", 5, canary=True)])
    assert json.loads(source.faults()[1])[0]["version"] == "new"


def test_the_canary_of_another_namespace_is_left(source: Source) -> None:
    """A fault for staging does not touch production's canary."""
    assert put(source, {"what": "no data", "namespace": "staging"})[0]["version"] == "newest"
    assert 'pod_template_hash="new"' in source.metrics()[1]


def test_no_data_removes_the_series_and_stale_data_the_scrape(source: Source) -> None:
    """No data hides one version; stale data refuses the scrape; an empty list undoes both."""
    put(source, {"what": "no data"})
    assert 'pod_template_hash="new"' not in source.metrics()[1]
    assert 'pod_template_hash="old"' in source.metrics()[1]
    put(source, {"what": "stale data"})
    assert source.metrics()[0] == 503
    put(source)
    assert source.metrics()[0] == 200


def test_health_needs_news_of_the_cluster(source: Source, clock: Clock) -> None:
    """Requests go on while the cluster does not answer, but after five seconds the source says that it is blind."""
    clock.seconds = 4
    source.tick(None)
    assert source.health()[0] == 200
    clock.seconds = 6
    source.tick(None)
    assert source.health() == (503, "the cluster was last read 6.0 s ago\n")
    assert 'pod_template_hash="old"} 570' in source.metrics()[1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "a JSON list is wanted"),
        ([{"amount": 1}], "entry 1: an object with the keys"),
        ([{"what": "no data"}, {"what": "error rate", "amont": 1}], "entry 2: an object with the keys"),
        ([{"what": "pods crash"}], "can't play 'pods crash', only: error rate"),
        ([{"what": "error rate"}], "takes a ratio or seconds"),
        ([{"what": "error rate", "amount": True}], "takes a ratio or seconds"),
        ([{"what": "no data", "amount": 1}], "takes no amount"),
        ([{"what": "error rate", "amount": 5}], "out of range"),
        ([{"what": "p95 latency", "amount": 0}], "out of range"),
        ([{"what": "no data", "service": 1}], "are texts"),
    ],
)
def test_a_wrong_list_is_told(body: object, message: str) -> None:
    """What can't be a list of faults is refused with the entry and what would be right."""
    with pytest.raises(ValueError, match=message):
        parse(body)


def test_a_refused_list_changes_nothing(source: Source) -> None:
    """A list with one wrong entry leaves the faults as they were."""
    put(source, {"what": "no data"})
    status, text = source.replace_faults(b'[{"what": "stale data"}, {"what": "fire"}]')
    assert (status, "entry 2" in text) == (400, True)
    assert [it["what"] for it in json.loads(source.faults()[1])] == ["no data"]
    assert source.replace_faults(b"not json")[0] == 400


def test_few_requests_show_the_p95() -> None:
    """After 20 requests the bucket shares are exact, so the p95 of a canary with little traffic can be read."""
    tally = Tally()
    for _ in range(8):
        tally.grow([version(rps=5, p95_ms=300)], 0.5)
    (within,) = [value for series, value in tally.samples() if 'le="0.3"' in series]
    assert within == pytest.approx(0.95 * 20)
