"""The traffic source: shares as the cluster says, counters that carry fractions, faults that are played."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pytest_deploy.domain.synthetic import BUCKETS_S, Behaviour
from pytest_deploy.sandbox.faults import parse
from pytest_deploy.sandbox.platform import MEMORY, RESTARTS, THROTTLED, Platform, containers
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


def replica_set(name: str, revision: int, **annotations: str) -> dict[str, Any]:
    """Return a ReplicaSet of that Rollout."""
    return {
        "metadata": {
            "name": f"checkout-api-{name}",
            "uid": f"u-{name}",
            "labels": {"rollouts-pod-template-hash": name},
            "annotations": {"rollout.argoproj.io/revision": str(revision)},
            "ownerReferences": [{"uid": "u1"}],
        },
        "spec": {"template": {"metadata": {"annotations": annotations or None}}},
    }


def pods(
    name: str, count: int, annotations: dict[str, str] | None = None, *, ready: bool = True, memory: str = "256Mi"
) -> list[dict[str, Any]]:
    """Return pods of that ReplicaSet."""
    conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": str(ready)}]
    return [
        {
            "metadata": {
                "name": f"checkout-api-{name}-{number}",
                "namespace": "prod",
                "labels": {"rollouts-pod-template-hash": name},
                "annotations": annotations,
                "ownerReferences": [{"uid": f"u-{name}"}],
            },
            "spec": {"containers": [{"name": "app", "resources": {"limits": {"memory": memory}} if memory else {}}]},
            "status": {"conditions": conditions, "containerStatuses": [{"name": "app", "restartCount": 0}]},
        }
        for number in range(count)
    ]


def version(name: str = "old", rps: float = 100.0, *, canary: bool = False, **how: Any) -> Version:
    """Return a version that is served."""
    return Version(
        namespace="prod",
        service="checkout-api",
        pod_template_hash=name,
        requests_per_s=rps,
        pods=how.pop("pods", (f"checkout-api-{name}-0",)),
        behaviour=Behaviour(**how),
        canary=canary,
    )


def test_each_ready_pod_gets_the_same() -> None:
    """Without a traffic router, 1 ready pod of 20 is 5 % of 100 requests per second."""
    sets = [replica_set("old", 1), replica_set("new", 2)]
    old, new = versions([rollout()], sets, [*pods("old", 19), *pods("new", 1)])
    assert (old.pod_template_hash, old.requests_per_s, old.canary) == ("old", 95, False)
    assert (new.pod_template_hash, new.requests_per_s, new.canary) == ("new", 5, True)
    assert new.pods == ("checkout-api-new-0",)


def test_pods_that_are_not_ready_get_nothing() -> None:
    """A pod that is not ready, or that is being deleted, gets no request; without any ready pod there is no traffic."""
    sets = [replica_set("old", 1), replica_set("new", 2)]
    leaving = pods("new", 1)
    leaving[0]["metadata"]["deletionTimestamp"] = "2026-11-24T00:00:00Z"
    (only,) = versions([rollout()], sets, [*pods("old", 3), *pods("new", 1, ready=False), *leaving])
    assert (only.pod_template_hash, only.requests_per_s) == ("old", 100)
    assert list(versions([rollout()], sets, pods("old", 3, ready=False))) == []


def test_a_router_s_weights_count() -> None:
    """With a traffic router the weights of the status decide, whatever the pods are."""
    weights = {"canary": {"podTemplateHash": "new", "weight": 25}, "stable": {"podTemplateHash": "old", "weight": 75}}
    sets = [replica_set("old", 1), replica_set("new", 2)]
    found = versions([rollout(routed=weights)], sets, pods("old", 10))
    assert {it.pod_template_hash: (it.requests_per_s, len(it.pods)) for it in found} == {
        "old": (75, 10),
        "new": (25, 0),
    }


def test_annotations_set_the_behaviour() -> None:
    """Requests per second come from the Rollout, errors and latency from the pod template; rubbish is as if absent."""
    rubbish, marked = {ERROR_RATE: "lots", P95_MS: "-1"}, {ERROR_RATE: "0.05", P95_MS: "900"}
    sets = [replica_set("old", 1, **rubbish), replica_set("new", 2, **marked)]
    good, bad = versions([rollout(rps="40")], sets, [*pods("old", 1), *pods("new", 1)])
    assert good.requests_per_s == 20
    assert good.behaviour == Behaviour()
    assert bad.behaviour == Behaviour(error_rate_ratio=0.05, p95_ms=900)


def test_the_old_version_rolled_back_to_is_no_canary() -> None:
    """After a rollback the old ReplicaSet has the highest revision, and is still the stable one."""
    sets = [replica_set("old", 3), replica_set("new", 2)]
    (only,) = versions([rollout(stable="old")], sets, pods("old", 10))
    assert not only.canary


def test_requests_are_dealt_out_to_the_pods() -> None:
    """Each pod has series of its own; all requests and errors are in them, and no counter ever falls."""
    tally = Tally()
    three = version(rps=100, pods=("a", "b", "c"), error_rate_ratio=0.5)
    before: dict[str, float] = {}
    for _ in range(20):
        tally.grow([three], 0.05)
        now = dict(tally.samples())
        assert all(now[series] >= value for series, value in before.items())
        before = now
    requests = {series: value for series, value in before.items() if series.startswith("http_requests_total")}
    assert sum(requests.values()) == 100
    assert sum(value for series, value in requests.items() if 'status="503"' in series) == 50
    by_pod = [sum(value for series, value in requests.items() if f'pod="{pod}"' in series) for pod in "abc"]
    assert sorted(by_pod) == [33, 33, 34]


def test_a_pod_that_goes_takes_its_series_along() -> None:
    """When a version is scaled down, the others' counters go on."""
    tally = Tally()
    tally.grow([version(pods=("a", "b"))], 1)
    tally.grow([version(pods=("b",))], 1)
    counts = {series: value for series, value in tally.samples() if "_count" in series}
    assert [*counts.values()] == [150]
    assert 'pod="b"' in next(iter(counts))


def test_there_is_no_5xx_series_before_the_first_5xx() -> None:
    """A perfect version has no error series at all; one that fails has it from its first whole error on."""
    tally = Tally()
    bad = version(error_rate_ratio=0.01)
    tally.grow([bad], 0.5)
    assert not any("503" in series for series, _ in tally.samples())
    tally.grow([bad], 0.5)
    found = dict(tally.samples())
    labels = 'service="checkout-api",namespace="prod",pod_template_hash="old",pod="checkout-api-old-0"'
    assert found[f'http_requests_total{{{labels},status="503"}}'] == 1
    assert found[f'http_requests_total{{{labels},status="200"}}'] == 99


def test_fractions_are_carried() -> None:
    """A thousand spans of a thousandth of a request make one request, not none."""
    tally = Tally()
    for _ in range(1001):
        tally.grow([version(rps=1)], 0.001)
    labels = 'service="checkout-api",namespace="prod",pod_template_hash="old",pod="checkout-api-old-0"'
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
    tally.grow([version(pods=())], 1)
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
    assert 'pod="checkout-api-new-0",status="503"} 1' in source.metrics()[1]
    assert 'pod="checkout-api-old-0",status="503"' not in source.metrics()[1]
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
    assert 'pod="checkout-api-old-0"} 570' in source.metrics()[1]


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


def shown(platform: Platform, now_s: float) -> dict[str, float]:
    """Return what the platform shows of its only pod, by family."""
    return {series.split("{")[0]: value for series, value in platform.samples(now_s)}


def test_containers_show_what_their_template_says() -> None:
    """Throttling and memory as shares, restarts one after the other on top of those that the API counts."""
    platform = Platform()
    (pod,) = pods("new", 1, {THROTTLED: "0.3", MEMORY: "0.95", RESTARTS: "2"})
    pod["status"]["containerStatuses"][0]["restartCount"] = 3
    platform.see(containers([pod]), 100)
    assert shown(platform, 100)["kube_pod_container_status_restarts_total"] == 3
    platform.see(containers([pod]), 160)
    found = shown(platform, 160)
    assert found["kube_pod_container_status_restarts_total"] == 5
    throttled, periods = (found[f"container_cpu_cfs_{kind}_total"] for kind in ("throttled_periods", "periods"))
    assert (periods, throttled / periods) == (600, 0.3)
    limit = 256 * 1024**2
    assert found["kube_pod_container_resource_limits"] == found["container_spec_memory_limit_bytes"] == limit
    assert found["container_memory_working_set_bytes"] == pytest.approx(0.95 * limit)


def test_a_sound_container_has_all_series_but_no_trouble() -> None:
    """Nothing is absent where nothing is said: zero restarts and throttling are series, and memory is half."""
    platform = Platform()
    platform.see(containers(pods("old", 1)), 0)
    found = shown(platform, 60)
    assert found["kube_pod_container_status_restarts_total"] == 0
    assert found["container_cpu_cfs_throttled_periods_total"] == 0
    assert found["container_memory_working_set_bytes"] / found["kube_pod_container_resource_limits"] == 0.5


@pytest.mark.parametrize("memory", ["", "lots"])
def test_without_a_limit_there_is_no_series_of_it(memory: str) -> None:
    """As with kube-state-metrics; cAdvisor's is 0, and the memory is there."""
    platform = Platform()
    platform.see(containers(pods("old", 1, memory=memory)), 0)
    found = shown(platform, 60)
    assert "kube_pod_container_resource_limits" not in found
    assert found["container_spec_memory_limit_bytes"] == 0
    assert found["container_memory_working_set_bytes"] > 0


def test_a_pod_without_a_status_has_no_containers_yet() -> None:
    """What has not started shows nothing; what is gone and comes back begins anew."""
    platform = Platform()
    (pod,) = pods("old", 1)
    platform.see(containers([{**pod, "status": {}}]), 0)
    assert shown(platform, 60) == {}
    platform.see(containers([pod]), 60)
    platform.see((), 70)
    platform.see(containers([pod]), 80)
    assert shown(platform, 90)["container_cpu_cfs_periods_total"] == 100


def test_a_version_without_data_shows_no_containers(source: Source) -> None:
    """The fault takes all series of the version, and the others' stay."""
    seen = list(containers([*pods("old", 1), *pods("new", 1)]))
    source.tick([version("old", 95), version("new", 5, canary=True)], seen)
    assert 'pod="checkout-api-new-0"' in source.metrics()[1]
    put(source, {"what": "no data"})
    assert 'pod="checkout-api-new-0"' not in source.metrics()[1]
    assert 'container_memory_working_set_bytes{namespace="prod",pod="checkout-api-old-0"' in source.metrics()[1]
