"""What goes wrong with measurements, on real Prometheus 3 and 2: how each fault of the catalogue ends.

The numbers are the catalogue's: 1 no data, 2 NaN, 3 not finite, 4 stale, 5 partial, 6 time-out, 7 throttled, 8 no
answer in the answer, 9 clock skew, 10 no bucket at the limit, 11 counter reset, 12 low traffic, 13 label mismatch,
14 injection, 15 the environment is sick. Nothing of this ever ends with PASS.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from pytest_deploy.adapters.prometheus import Prometheus
from pytest_deploy.adapters.prometheus.own import OwnQueries
from pytest_deploy.domain.evidence_judge import EvidenceJudge
from pytest_deploy.domain.judge import Contract
from pytest_deploy.domain.measurement import Evidence, Kind, Objective, Reading, Role, Subject
from pytest_deploy.domain.query import ALERTS, MEMORY, RESTARTS, THROTTLING, Query
from pytest_deploy.domain.verdict import Ruling, VerdictKind
from pytest_deploy.errors import Faulted, GateBreach, MeasurementError, Refused, RemoteError, Throttled, Unreachable
from tests.e2e.prometheus_past import DURATION, REQUESTS, SCRAPE_S, WINDOW_S, made_up
from tests.e2e.prometheus_rig import CLOCK, LIVE, Reply, Rig, running

pytestmark = pytest.mark.real

ERROR_RATE = Objective(kind=Kind.ERROR_RATE, limit=0.01)
P95 = Objective(kind=Kind.LATENCY, limit=0.3, quantile=0.95)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> tuple[datetime, Path]:
    """Make the past that both majors read: when its windows begin, and its blocks."""
    made = made_up()
    return made.start, made.blocks(tmp_path_factory.mktemp("past"))


@pytest.fixture(scope="module", params=[3, 2], ids=["prometheus3", "prometheus2"])
def rig(
    request: pytest.FixtureRequest, past: tuple[datetime, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Run a Prometheus of each major over that past."""
    with running(request.param, past[1], past[0], tmp_path_factory.mktemp("prometheus")) as made:
        yield made


def metrics(rig: Rig, *, front: bool = False, live: bool = False, **more: Any) -> Prometheus:
    """Return the adapter, for the past or for the live targets."""
    return Prometheus(
        rig.front if front else rig.url,
        scrape_interval=LIVE if live else timedelta(seconds=SCRAPE_S),
        timeout=timedelta(seconds=more.pop("timeout_s", 10)),
        clock=CLOCK,
        **more,
    )


def at(rig: Rig, seconds: float) -> datetime:
    """Return a time of the past."""
    return rig.start + timedelta(seconds=seconds)


def watch(port: Prometheus, rig: Rig, objective: Objective, subject: Subject) -> tuple[Reading, ...]:
    """Read the window of the past as a deploy does, again and again until its end."""
    times = range(60, WINDOW_S + 1, 60)
    return tuple(
        port.as_of(lambda s=seconds: at(rig, s)).read(objective, subject, rig.start)  # type: ignore[misc]  # bound now
        for seconds in times
    )


def judged(rig: Rig, objective: Objective, service: str | Subject, **more: Any) -> Ruling:
    """Return the default judge's ruling on the window; the plain rule must agree on whether there is evidence."""
    subject = Subject(service=service) if isinstance(service, str) else service
    return ruled(rig, objective, watch(metrics(rig, **more), rig, objective, subject))


def ruled(
    rig: Rig, objective: Objective, readings: tuple[Reading, ...], control: tuple[Reading, ...] = (), why: str = ""
) -> Ruling:
    """Let both judges speak; where the plain rule has no evidence the default one has none."""
    evidence = Evidence(
        window=timedelta(seconds=WINDOW_S),
        started=rig.start,
        readings=readings,
        scrape_interval=timedelta(seconds=SCRAPE_S),
        over=True,
        control=control,
        unreadable=why,
    )
    ruling, plain = EvidenceJudge()(evidence, objective), Contract()(evidence, objective)
    assert ruling is not None
    assert plain is not None
    if plain.kind in {VerdictKind.NO_DATA, VerdictKind.ERROR}:
        assert ruling.kind is plain.kind
    return ruling


def query(text: str, limit: float = 0, **more: str) -> tuple[Objective, dict[str, Any]]:
    """Return an objective on a query of one's own, and the adapter's argument for it."""
    objective = Objective(kind=Kind.QUERY, limit=limit, subject="mine")
    return objective, {"queries": {"mine": Query(name="mine", text=text, **more)}}


def reply(status: int, body: object, **headers: str) -> Reply:
    """Make an answer of the front."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    kind = "text/html" if isinstance(body, str) else "application/json"
    return status, {"Content-Type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}, content


def test_fault_00_the_positive_control_passes(rig: Rig) -> None:
    """0: the same rig promotes what is healthy and stops what is bad, or nothing below would mean a thing."""
    assert judged(rig, ERROR_RATE, "healthy").kind is VerdictKind.PASS
    assert judged(rig, ERROR_RATE, "healthy_errors").kind is VerdictKind.PASS
    assert judged(rig, ERROR_RATE, "bad").kind is VerdictKind.FAIL
    assert judged(rig, P95, "exact").kind is VerdictKind.PASS
    assert metrics(rig).as_of(lambda: at(rig, 300)).problems(ERROR_RATE, Subject(service="healthy")) == ()


def test_fault_00_whole_queries_of_a_teams_own(rig: Rig) -> None:
    """0: counts that a team's own PromQL yields are judged as ours are, and no series is no data for them, too."""
    own = OwnQueries(
        requests='sum(increase(http_requests_total{service="{service}"}[{window}]))',
        errors='sum(increase(http_requests_total{service="{service}",status=~"5.."}[{window}]))',
        latency={
            0.95: "histogram_quantile(0.95, sum by (le) "
            '(rate(http_request_duration_seconds_bucket{service="{service}"}[{window}])))'
        },
    )
    for service, kind in (("healthy", VerdictKind.PASS), ("bad", VerdictKind.FAIL), ("nobody", VerdictKind.NO_DATA)):
        assert judged(rig, ERROR_RATE, service, own=own).kind is kind, service
    ours = watch(metrics(rig), rig, ERROR_RATE, Subject(service="bad"))[-1]
    theirs = watch(metrics(rig, own=own), rig, ERROR_RATE, Subject(service="bad"))[-1]
    assert theirs.total == pytest.approx(ours.total, rel=0.05)
    assert theirs.value == pytest.approx(ours.value, rel=0.05)
    exact = watch(metrics(rig), rig, P95, Subject(service="exact"))[-1]
    port = metrics(rig, own=replace(own, requests=own.requests.replace("http_requests_total", f"{DURATION}_count")))
    quantile = watch(port, rig, P95, Subject(service="exact"))[-1]
    assert (quantile.value, quantile.bad) == (exact.value, None)
    assert quantile.value is not None


def test_fault_01_no_data(rig: Rig) -> None:
    """1: no series is no data, for requests, latencies and queries alike; never 0. Pre-flight says so beforehand."""
    for objective in (ERROR_RATE, P95):
        ruling = judged(rig, objective, "nobody")
        assert (ruling.kind, ruling.cause) == (VerdictKind.NO_DATA, "no data")
        port = metrics(rig).as_of(lambda: at(rig, 300))
        assert "there is no series" in port.problems(objective, Subject(service="nobody"))[0]
    objective, more = query('sum(increase(errors_total{service="nobody"}[{window}])) or vector(0)')
    readings = watch(metrics(rig, **more), rig, objective, Subject(service="healthy"))
    assert (readings[-1].value, readings[-1].total, readings[-1].newest) == (0, None, None)
    assert ruled(rig, objective, readings).kind is VerdictKind.NO_DATA


def test_fault_02_nan(rig: Rig) -> None:
    """2: series that stand still divide 0 by 0: no data, though the errors' count is 0."""
    readings = watch(metrics(rig), rig, ERROR_RATE, Subject(service="nan"))
    assert (readings[-1].total, readings[-1].value) == (0, None)
    assert ruled(rig, ERROR_RATE, readings).kind is VerdictKind.NO_DATA
    objective, more = query(f'sum({REQUESTS}{{service="nan"}}) * NaN')
    assert judged(rig, objective, "nan", **more).kind is VerdictKind.NO_DATA


def test_fault_03_not_finite(rig: Rig) -> None:
    """3: a counter at +Inf is a fault of the metrics, and a query that divides by 0 has no value."""
    with pytest.raises(Faulted, match="no count"):
        watch(metrics(rig), rig, ERROR_RATE, Subject(service="infinite"))
    for sign in ("", "-"):
        series = f'sum({REQUESTS}{{service="healthy"}})'
        objective, more = query(f"{sign}{series} / (0 * {series})")
        readings = watch(metrics(rig, **more), rig, objective, Subject(service="healthy"))
        assert readings[-1].value is None
        assert ruled(rig, objective, readings).kind is VerdictKind.NO_DATA


def test_fault_04_stale(rig: Rig) -> None:
    """4: samples that ended in mid-window are stale at its end, though the server still has an answer."""
    readings = watch(metrics(rig), rig, ERROR_RATE, Subject(service="stale"))
    assert readings[-1].value == 0
    assert readings[-1].age == timedelta(seconds=WINDOW_S // 2)
    ruling = ruled(rig, ERROR_RATE, readings)
    assert (ruling.kind, ruling.cause) == (VerdictKind.NO_DATA, "stale data")
    objective, more = query(f'sum(rate({REQUESTS}{{service="stale",status=~"5.."}}[{{window}}])) or vector(0)')
    assert judged(rig, objective, "stale", **more).kind is VerdictKind.NO_DATA
    objective, more = query(f'sum({REQUESTS}{{service="stale"}}) * 0 + sum({REQUESTS}{{service="healthy"}}) * 0')
    found = watch(metrics(rig, **more), rig, objective, Subject(service="stale"))
    assert (found[-1].value, found[-1].age) == (0, timedelta(seconds=WINDOW_S // 2))


def test_fault_04_live_scrapes_stop(rig: Rig) -> None:
    """4: a live target that stops answering is stale after two scrapes; what it said before is no evidence."""
    port, subject = metrics(rig, live=True), Subject(service="stops")
    since = port.now() - timedelta(seconds=1)
    end = CLOCK.monotonic() + 10
    while (fresh := port.read(ERROR_RATE, subject, since)).total is None:
        assert CLOCK.monotonic() < end
        CLOCK.sleep(LIVE)
    assert fresh.age is not None
    assert fresh.age <= 2 * LIVE
    rig.targets.stopped.set()
    CLOCK.sleep(4 * LIVE)
    last = port.read(ERROR_RATE, subject, since)
    assert last.total
    assert last.age is not None
    assert last.age > 2 * LIVE
    evidence = Evidence(window=last.at - since, started=since, readings=(fresh, last), scrape_interval=LIVE, over=True)
    for judge in (EvidenceJudge(), Contract()):
        ruling = judge(evidence, ERROR_RATE)
        assert ruling is not None
        assert (ruling.kind, ruling.cause) == (VerdictKind.NO_DATA, "stale data")


@pytest.mark.parametrize(
    "sign",
    [
        pytest.param({"warnings": ["store-gateway 2 did not answer"]}, id="thanos"),
        pytest.param({"isPartial": True}, id="victoriametrics"),
        pytest.param({"partialResponse": True}, id="others"),
    ],
)
def test_fault_05_partial(rig: Rig, sign: Mapping[str, Any]) -> None:
    """5: an answer that says it is not whole is never a PASS, whatever its numbers are; pre-flight says so too."""

    def partial() -> Reply:
        path = rig.asked[-1]
        return reply(200, {**httpx2.get(rig.url + path).json(), **sign})

    port = metrics(rig, front=True)
    with rig.answering(partial):
        readings = watch(port, rig, ERROR_RATE, Subject(service="healthy"))
        assert port.as_of(lambda: at(rig, 300)).problems(ERROR_RATE, Subject(service="healthy"))
    assert readings[-1].value == 0
    assert next(iter(map(str, sign.values()))).strip("[]'") in readings[-1].problem or "partial" in readings[-1].problem
    ruling = ruled(rig, ERROR_RATE, readings)
    assert (ruling.kind, ruling.cause) == (VerdictKind.INCONCLUSIVE, "partial answer")


def unreadable(rig: Rig, error: type[RemoteError], timeout_s: float = 1) -> str:
    """Read through the front, which must end as this error within the deadline; return its words."""
    began = CLOCK.monotonic()
    with pytest.raises(error) as caught:
        metrics(rig, front=True, timeout_s=timeout_s).read(ERROR_RATE, Subject(service="healthy"), rig.start)
    assert CLOCK.monotonic() - began < timeout_s + 0.5
    whole = watch(metrics(rig), rig, ERROR_RATE, Subject(service="healthy"))
    assert ruled(rig, ERROR_RATE, whole[:-1], why=str(caught.value)).kind is VerdictKind.ERROR
    return str(caught.value)


def test_fault_06_time_out(rig: Rig) -> None:
    """6: a server that hangs costs the deadline, no more, and the window ends without a verdict on the canary."""

    def hang() -> Reply:
        CLOCK.sleep(timedelta(seconds=1.5))
        return reply(200, {})

    with rig.answering(hang):
        assert "no answer within 1.0 s" in unreadable(rig, Unreachable)


def test_fault_07_throttled(rig: Rig) -> None:
    """7: 429 waits as long as it asks where the deadline allows that, and is an error at once where not."""
    with rig.answering(lambda: reply(429, {"error": "slow down"}, Retry_After="60")):
        assert "429" in unreadable(rig, Throttled)
    with rig.answering(lambda: reply(429, {"error": "slow down"}, Retry_After="1"), lambda: None):
        began = CLOCK.monotonic()
        port = metrics(rig, front=True).as_of(lambda: at(rig, 300))
        assert port.read(ERROR_RATE, Subject(service="healthy"), rig.start).total
        assert 1 <= CLOCK.monotonic() - began < 3


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        pytest.param(503, {"error": "starting up"}, "503", id="5xx"),
        pytest.param(200, {"status": "error", "errorType": "internal", "error": "oops"}, "oops", id="error in a 200"),
        pytest.param(200, "<html>Sign in</html>", "an HTML page", id="login page"),
        pytest.param(200, {"status": "success", "data": {"resultType": "vector"}}, "time()", id="another shape"),
    ],
)
def test_fault_08_no_answer_in_the_answer(rig: Rig, status: int, body: object, words: str) -> None:
    """8: what is no answer of Prometheus is an error in words, and its numbers, if any, are not used."""
    with rig.answering(lambda: reply(status, body)):
        assert words in unreadable(rig, Faulted)


def test_fault_08_a_failure_that_passes_is_tried_again(rig: Rig) -> None:
    """8: one 502 of a proxy is no reason to hold a deploy."""
    with rig.answering(lambda: reply(502, "<html>bad gateway</html>"), lambda: None):
        port = metrics(rig, front=True).as_of(lambda: at(rig, 300))
        assert port.read(ERROR_RATE, Subject(service="healthy"), rig.start).total


def test_fault_09_clock_skew(rig: Rig) -> None:
    """9: windows are cut by the server's clock; an hour of difference on this machine changes no count."""

    class Skewed:
        def now(self) -> datetime:
            return CLOCK.now() + timedelta(hours=1)

        def monotonic(self) -> float:
            return CLOCK.monotonic()

        def sleep(self, duration: timedelta) -> None:
            CLOCK.sleep(duration)

    args: dict[str, Any] = {"scrape_interval": LIVE, "timeout": timedelta(seconds=10)}
    right, wrong = Prometheus(rig.url, clock=CLOCK, **args), Prometheus(rig.url, clock=Skewed(), **args)
    assert abs(wrong.now() - right.now()) < timedelta(seconds=5)
    read = wrong.read(P95, Subject(service="classic"), wrong.now() - timedelta(seconds=5))
    assert read.age is not None
    assert timedelta() <= read.age < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("service", "kinds", "slower"),
    [
        pytest.param("agree", {VerdictKind.PASS}, (0.01, 0.005), id="both within"),
        pytest.param("agree_slow", {VerdictKind.FAIL}, (0.2, 0.15), id="both above"),
        pytest.param("disagree", {VerdictKind.INCONCLUSIVE}, (0.2, 0.005), id="they disagree"),
    ],
)
def test_fault_10_no_bucket_at_the_limit(
    rig: Rig, service: str, kinds: set[VerdictKind], slower: tuple[float, float]
) -> None:
    """10: both neighbours judge, and where they disagree it is INCONCLUSIVE, with the bucket to add."""
    readings = watch(metrics(rig), rig, P95, Subject(service=service))
    last = readings[-1]
    assert last.bad is None
    assert last.neighbours is not None
    assert last.total is not None
    assert [bucket.bound_s for bucket in last.neighbours] == [0.25, 0.5]
    assert [bucket.slower / last.total for bucket in last.neighbours] == pytest.approx(slower, rel=0.05)
    ruling = ruled(rig, P95, readings)
    assert ruling.kind in kinds
    notes = metrics(rig).as_of(lambda: at(rig, 300)).problems(P95, Subject(service=service))
    assert [note.startswith("note: ") and note.endswith("add a bucket that ends at 0.3") for note in notes] == [True]
    if ruling.kind is VerdictKind.INCONCLUSIVE:
        assert "bucket" in f"{ruling.cause} {ruling.rule} {ruling.needed}"


def live_latency(rig: Rig, service: str, limit_s: float) -> Reading:
    """Read a live histogram since three seconds before, once that holds a few scrapes."""
    port = metrics(rig, live=True)
    since = port.now() - timedelta(seconds=3)
    return port.read(Objective(kind=Kind.LATENCY, limit=limit_s, quantile=0.9), Subject(service=service), since)


def test_fault_10_bounds_are_numbers(rig: Rig) -> None:
    """10: Prometheus 3 stores le="1.0" where 2 stores le="1": both are the bucket that ends at 1 s."""
    series = httpx2.get(f"{rig.url}/api/v1/series", params={"match[]": f'{DURATION}_bucket{{service="classic"}}'})
    assert {item["le"] for item in series.json()["data"]} == {"0.5", "1.0" if rig.major == 3 else "1", "+Inf"}
    read = live_latency(rig, "classic", 1)
    assert read.total
    assert read.bad == pytest.approx(0.03 * read.total, rel=0.01)
    assert read.neighbours is None


def test_fault_10_native_histograms(rig: Rig) -> None:
    """10: a native histogram is counted exactly where one of its buckets ends, else by the ends of the one inside."""
    exact = live_latency(rig, "native", 0.5)
    assert exact.total
    assert exact.bad == pytest.approx(0.2 * exact.total, rel=0.01)
    assert exact.age is not None
    inside = live_latency(rig, "native", 0.7)
    assert inside.bad is None
    assert inside.total
    assert inside.neighbours is not None
    assert [bucket.bound_s for bucket in inside.neighbours] == [0.5, 1]
    shares = [bucket.slower / inside.total for bucket in inside.neighbours]
    assert shares == pytest.approx([0.2, 0.05], rel=0.01)
    assert live_latency(rig, "native", 8).bad == 0
    subject, port = Subject(service="native"), metrics(rig, live=True)
    latency = Objective(kind=Kind.LATENCY, limit=0.7, quantile=0.9)
    assert "add a bucket" in port.problems(latency, subject)[0]


def test_fault_10_classic_histograms_that_became_native(rig: Rig) -> None:
    """10: what Prometheus 3 made of classic buckets keeps their bounds, so the limit's bucket is exact."""
    if rig.major == 2:
        pytest.skip("Prometheus 2 does not convert")
    series = httpx2.get(f"{rig.url}/api/v1/series", params={"match[]": f'{DURATION}_bucket{{service="nhcb"}}'})
    assert series.json()["data"] == []
    read = live_latency(rig, "nhcb", 1)
    assert read.total
    assert read.bad == pytest.approx(0.03 * read.total, rel=0.01)
    inside = live_latency(rig, "nhcb", 0.7)
    assert inside.neighbours is not None
    assert [bucket.bound_s for bucket in inside.neighbours] == [0.5, 1]


@pytest.mark.parametrize("service", ["reset", "new_pod"])
def test_fault_11_counter_reset_and_new_pod(rig: Rig, service: str) -> None:
    """11: a counter that starts anew, or a pod that is born, loses a scrape of requests at most and gains none."""
    readings = watch(metrics(rig), rig, ERROR_RATE, Subject(service=service))
    true = 10.02 * WINDOW_S if service == "reset" else 10 * WINDOW_S + 10.02 * (WINDOW_S - 90)
    assert readings[-1].total == pytest.approx(true, rel=0.12)
    assert ruled(rig, ERROR_RATE, readings).kind is VerdictKind.PASS


def test_fault_12_low_traffic(rig: Rig) -> None:
    """12: a dozen requests without an error prove nothing."""
    ruling = judged(rig, ERROR_RATE, "low")
    assert (ruling.kind, ruling.cause) == (VerdictKind.INCONCLUSIVE, "too few requests")


def test_fault_13_label_mismatch(rig: Rig) -> None:
    """13: requests under another label are no data; pre-flight names what is there, and the label that is missing."""
    assert judged(rig, ERROR_RATE, "mismatch").kind is VerdictKind.NO_DATA
    port = metrics(rig).as_of(lambda: at(rig, 300))
    problem = port.problems(ERROR_RATE, Subject(service="mismatch"))[0]
    assert "the metric has service '" in problem
    assert judged(rig, ERROR_RATE, "mismatch", service_label="app").kind is VerdictKind.PASS
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"requests_metric": "requests_total"}, "nor any other of requests_total"),
        ({"service_label": "svc"}, "have no label 'svc'"),
        ({"status_label": "code"}, "none has a label 'code'"),
        ({"version_label": "hash"}, "has the label 'hash'"),
    ]
    for more, words in wrong:
        problems = metrics(rig, **more).as_of(lambda: at(rig, 300)).problems(ERROR_RATE, Subject(service="healthy"))
        assert len(problems) == 1
        assert words in problems[0]
    with pytest.raises(MeasurementError, match="none has a label 'status'"):
        judged(rig, ERROR_RATE, "no_status")


def test_fault_13_many_series(rig: Rig) -> None:
    """13: a query that answers with several numbers is a fault, neither the first nor the last is taken."""
    objective, more = query(f"{REQUESTS}{{}}")
    with pytest.raises(Faulted, match="series where one was expected"):
        judged(rig, objective, "healthy", **more)
    port = metrics(rig, **more).as_of(lambda: at(rig, 300))
    assert "sum or max them" in port.problems(objective, Subject(service="healthy"))[0]


@pytest.mark.parametrize(
    "name",
    [
        'healthy"}) or sum(http_requests_total{service="healthy',
        'healthy"} or vector(1) #',
        "healthy\\",
        "h\n",
        "{}[5m]",
        ".*",
    ],
)
def test_fault_14_injection(rig: Rig, name: str) -> None:
    """14: whatever a name holds, it selects the series of that very name: here none."""
    for subject in (
        Subject(service=name),
        Subject(service="only_canary", template_hash=name, role=Role.CANARY, workload=name),
    ):
        for port in (metrics(rig, version_label="pod"), metrics(rig, pod_label="pod")):
            if subject.template_hash is None:
                assert port.as_of(lambda: at(rig, 300)).problems(ERROR_RATE, subject)
            readings = watch(port, rig, ERROR_RATE, subject)
            assert ruled(rig, ERROR_RATE, readings).kind is VerdictKind.NO_DATA
    objective, more = query(f'sum({REQUESTS}{{service="{{service}}"}})')
    with pytest.raises(MeasurementError, match="is no name in Kubernetes"):
        metrics(rig, **more).as_of(lambda: at(rig, 300)).read(objective, Subject(service=name), rig.start)


def versions(rig: Rig, service: str, **more: Any) -> tuple[tuple[Reading, ...], tuple[Reading, ...]]:
    """Read canary and stable version of a service."""
    port = metrics(rig, **more)
    assert port.tells_versions_apart
    canary = Subject(service=service, template_hash="v2", role=Role.CANARY, workload="only")
    stable = Subject(service=service, template_hash="v1", role=Role.STABLE, workload="only")
    return watch(port, rig, ERROR_RATE, canary), watch(port, rig, ERROR_RATE, stable)


def test_fault_15_stable_is_sick_too(rig: Rig) -> None:
    """15: where canary and stable version both breach it still ends with FAIL, and the environment is named."""
    ruling = ruled(rig, ERROR_RATE, *versions(rig, "sick", version_label="version"))
    assert (ruling.kind, ruling.cause) == (VerdictKind.FAIL, "environment")


@pytest.mark.parametrize(
    "way",
    [
        {"version_label": "version"},
        {"pod_label": "pod"},
        {"canary_labels": {"track": "v2"}, "stable_labels": {"track": "v1"}},
    ],
    ids=["version label", "pod's name", "configured labels"],
)
def test_fault_15_the_control_is_the_stable_version_alone(rig: Rig, way: Mapping[str, Any]) -> None:
    """15: each way to tell versions apart gives the canary its own errors and leaves the stable version without."""
    canary, stable = versions(rig, "only_canary", **way)
    assert canary[-1].value == pytest.approx(1.1 / 11.1, rel=0.01)
    assert stable[-1].value == pytest.approx(0.001, rel=0.05)
    ruling = ruled(rig, ERROR_RATE, canary, stable)
    assert (ruling.kind, ruling.cause) == (VerdictKind.FAIL, "")


POD = Subject(service="checkout", template_hash="abc123", role=Role.CANARY, workload="checkout", namespace="shop")


@pytest.mark.parametrize(("name", "value"), [(THROTTLING, 0.2), (MEMORY, 0.8), (RESTARTS, 5)])
def test_shipped_queries_read_the_canarys_pods(rig: Rig, name: str, value: float) -> None:
    """Of one version's pods: throttled periods, the peak of memory over its limit, restarts.

    A canary's restarts count since its pods began, another version's since the window did.
    """
    objective = Objective(kind=Kind.QUERY, limit=0, subject=name)
    last = watch(metrics(rig), rig, objective, POD)[-1]
    assert last.value == pytest.approx(value, rel=0.01)
    beside = watch(metrics(rig), rig, objective, replace(POD, role=Role.STABLE))[-1]
    assert beside.value == pytest.approx(2 if name == RESTARTS else value, rel=0.01)
    assert last.total
    assert last.age == timedelta()
    port = metrics(rig).as_of(lambda: at(rig, 300))
    assert port.problems(objective, POD) == ()
    nobody = Subject(service="checkout", template_hash="none", workload="nobody", namespace="shop")
    absent = port.read(objective, nobody, rig.start)
    assert (absent.total, absent.value) == (None, None)
    assert any("has no series to rest on" in problem for problem in port.problems(objective, nobody))


def test_no_alert_fires_needs_rules_that_would_say_so(rig: Rig) -> None:
    """An absent alert is 0 where rules are evaluated, and no data where none is; one that fails is a problem."""
    objective = Objective(kind=Kind.QUERY, limit=0, subject=ALERTS)
    port = metrics(rig, live=True, front=True)
    since = port.now() - timedelta(seconds=5)
    burning, quiet, broken = (port.read(objective, Subject(service=s), since) for s in ("burning", "quiet", "broken"))
    assert (burning.value, quiet.value) == (1, 0)
    assert quiet.total
    assert (burning.problem, quiet.problem) == ("", "")
    assert "Broken" in broken.problem
    assert port.problems(objective, Subject(service="quiet")) == ()
    assert "Broken" in port.problems(objective, Subject(service="broken"))[0]
    with rig.answering(
        lambda: reply(200, {"status": "success", "data": {"groups": []}}) if "rules" in rig.asked[-1] else None
    ):
        none = port.read(objective, Subject(service="quiet"), since)
        assert (none.value, none.total, none.newest) == (None, None, None)
        assert "no alerting rule is loaded" in port.problems(objective, Subject(service="quiet"))[0]
    then = port.as_of(lambda: at(rig, 300)).read(objective, Subject(service="quiet"), rig.start)
    assert "in the past" in then.problem


def test_alerts_that_fire_before_a_deploy_are_named(rig: Rig) -> None:
    """From the same rules: one fires, one rests, and one that can't be evaluated is not taken for resting."""
    ask = metrics(rig, live=True).firing_alerts()
    with pytest.raises(GateBreach, match=r'(?s)1 alerts with service="burning" fire.*Burning, since 20'):
        ask("service:burning")
    assert ask("service:quiet").words == 'Prometheus: none of 3 alerting rules fires with service="quiet"'
    with pytest.raises(Refused, match="none could: the alerting rule 'Broken' is err"):
        ask("service:broken")
