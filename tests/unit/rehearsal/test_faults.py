"""Each fault: when it begins, what it does, when it can be seen, and when it ends."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pytest_deploy.domain.action import HelmUninstall
from pytest_deploy.domain.fault import FaultKind, parse_fault
from pytest_deploy.domain.measurement import Subject
from pytest_deploy.domain.release import Release
from pytest_deploy.domain.rollout import Step
from pytest_deploy.domain.synthetic import Behaviour
from pytest_deploy.errors import Refused, Rejected, ToolFailed
from tests.unit.rehearsal.conftest import ERRORS, NEW, OLD, P95, TIMEOUT, Drive, MakeDrive

CRASH = "CrashLoopBackOff: back-off 10s restarting failed container, exit code 1"


def troubles(drive: Drive) -> set[str]:
    """What keeps pods from running, in Kubernetes' words."""
    return {pod.trouble for pod in drive.ports.cluster.pods(drive.target, "shop") if pod.trouble}


def test_an_error_rate_befalls_the_newest_version_only(prod: Drive) -> None:
    """One in twenty of the canary's requests fails from now on; the stable version's stay as they were."""
    state = prod.raise_to(25)
    prod.fault("error rate 5%")
    prod.run(30)
    assert prod.read(300, version=state.current_hash).value == pytest.approx(0.05, rel=0.01)
    assert prod.read(300, version=state.stable_hash).value == pytest.approx(0.0005, rel=0.1)


def test_before_a_canary_there_is_nothing_that_a_fault_befalls(prod: Drive) -> None:
    """The version that ran before stays good, and the fault was not seen."""
    fault = prod.fault("error rate 50%")
    assert prod.read(300).value == pytest.approx(0.0005, rel=0.1)
    assert prod.began_s(fault) is None


def test_a_latency_befalls_the_newest_version(prod: Drive) -> None:
    """Its p95 is what the fault says, and so are the requests above the limit."""
    state = prod.raise_to(25)
    prod.fault("p95 latency 900ms")
    prod.run(30)
    reading = prod.read(300, P95, state.current_hash)
    assert reading.value == pytest.approx(0.9, rel=0.02)
    assert reading.bad
    assert reading.total
    assert reading.bad / reading.total > 0.05


@pytest.mark.parametrize("text", ["error rate 5%", "p95 latency 900ms"])
def test_bad_traffic_is_seen_at_the_first_scrape_that_holds_it(prod: Drive, text: str) -> None:
    """Not when it begins: a scrape later, at most."""
    prod.raise_to(25)
    began = prod.world.clock.monotonic()
    fault = prod.fault(text)
    assert prod.began_s(fault) is None
    prod.run(40)
    assert prod.began_s(fault) == (began // 15 + 1) * 15


@pytest.mark.parametrize("text", ["error rate 100%", "p95 latency 900ms"])
def test_what_begins_at_a_scrape_is_not_in_it(prod: Drive, text: str) -> None:
    """The scrape of that very moment holds only requests from before."""
    prod.raise_to(25)
    prod.run(15 - prod.world.clock.monotonic() % 15)
    at = prod.world.clock.monotonic()
    fault = prod.fault(text)
    prod.run(15)
    assert prod.began_s(fault) == at + 15


def test_rare_errors_are_seen_with_the_first_of_them(prod: Drive) -> None:
    """One request in a thousand of 50 a second: the first scrape holds none yet, the second holds one."""
    state = prod.raise_to(25)
    prod.world.metrics.behave(state.current_hash, Behaviour(error_rate_ratio=0))
    prod.run(19.5 - prod.world.clock.monotonic())
    fault = prod.fault("error rate 0.1%")
    prod.run(40)
    assert prod.began_s(fault) == 45


@pytest.mark.parametrize("text", ["error rate 100%", "p95 latency 900ms"])
def test_what_begins_right_before_a_scrape_is_not_in_it(prod: Drive, text: str) -> None:
    """At the same moment, and first: not one request was made under it."""
    prod.raise_to(25)
    now = prod.world.clock.monotonic()
    fault = parse_fault(text)
    prod.world.clock.after(timedelta(seconds=45 - now), lambda: prod.world.faults.inject(fault))
    prod.run(46 - now)
    assert prod.world.faults.active(fault.kind) == fault
    assert prod.began_s(fault) is None
    prod.run(15)
    assert prod.began_s(fault) == 60


def test_a_fault_lasts_as_long_as_it_says(prod: Drive) -> None:
    """Five seconds between two scrapes, all requests of five pods: 250, and none of before and after."""
    state = prod.raise_to(25)
    prod.world.metrics.behave(state.current_hash, Behaviour(error_rate_ratio=0))
    prod.run(15 - prod.world.clock.monotonic() % 15 - 1)
    since = prod.world.clock.now()
    prod.run(5)
    prod.fault("error rate 100% for 5s")
    prod.run(30)
    reading = prod.ports.metrics.read(ERRORS, Subject(service="shop", template_hash=state.current_hash), since)
    assert (reading.total, reading.bad) == (1500, 250)


def test_no_data_takes_the_canarys_series_away(prod: Drive) -> None:
    """No count, no value, no newest sample; the stable version's series go on. Seen at the first scrape without."""
    state = prod.raise_to(25)
    began = prod.world.clock.monotonic()
    fault = prod.fault("no data")
    prod.run(20)
    reading = prod.read(60, version=state.current_hash)
    assert (reading.total, reading.bad, reading.value, reading.newest) == (None, None, None, None)
    assert prod.read(60, version=state.stable_hash).total
    assert prod.began_s(fault) == (began // 15 + 1) * 15


def test_stale_data_stops_all_samples(prod: Drive) -> None:
    """The counts until then are there, and their newest sample grows old."""
    since = prod.ports.metrics.now()
    prod.run(60)
    fault = prod.fault("stale data")
    prod.run(60)
    assert prod.read(0).newest is None
    reading = prod.ports.metrics.read(ERRORS, Subject(service="shop"), since)
    assert (reading.total, reading.age and reading.age.total_seconds()) == (9000, 60)
    assert prod.began_s(fault) == 75


def test_pods_that_crash_are_in_trouble_and_get_no_traffic(prod: Drive) -> None:
    """The canary does not reach its pause; the trouble shows once the container has failed, 3 s after its start."""
    fault = prod.fault("pods crash")
    prod.ports.helm.execute(prod.upgrade())
    prod.run(3)
    assert troubles(prod) == set()
    prod.run(30)
    assert troubles(prod) == {CRASH}
    assert (prod.state.step_index, prod.state.weight_percent) == (0, 0)
    assert prod.began_s(fault) == pytest.approx(1.5 + 0.7 + 3)


def test_running_pods_can_begin_to_crash_and_end_to(prod: Drive) -> None:
    """They leave the traffic at once, show it 3 s later, and come back when the fault ends."""
    prod.raise_to(25)
    prod.fault("pods crash for 1 minute")
    prod.run(1)
    assert (prod.state.weight_percent, troubles(prod)) == (0, set())
    prod.run(3)
    assert troubles(prod) == {CRASH}
    prod.run(60)
    assert (prod.state.weight_percent, troubles(prod)) == (25, set())


def test_pods_that_are_never_ready_are_in_no_trouble(prod: Drive) -> None:
    """They run, and their readiness probe fails: no traffic; seen when they ought to have been ready."""
    fault = prod.fault("pods never ready")
    prod.ports.helm.execute(prod.upgrade())
    prod.run(60)
    canary = [pod for pod in prod.ports.cluster.pods(prod.target, "shop") if NEW in pod.image]
    assert [(pod.ready, pod.trouble, pod.image_id) for pod in canary] == [(False, "", canary[0].image)]
    assert prod.state.step_index == 0
    assert prod.began_s(fault) == pytest.approx(1.5 + 0.7 + 8)


def test_a_missing_image_keeps_new_pods_from_running(prod: Drive) -> None:
    """Kubernetes' words, and no imageID."""
    fault = prod.fault("image missing")
    prod.ports.helm.execute(prod.upgrade())
    prod.run(30)
    canary = [pod for pod in prod.ports.cluster.pods(prod.target, "shop") if NEW in pod.image]
    assert [pod.image_id for pod in canary] == [""]
    assert canary[0].trouble.startswith('ImagePullBackOff: Back-off pulling image "registry.example.com/shop@sha256:b')
    assert prod.began_s(fault) == pytest.approx(1.5 + 0.7 + 3)


def test_a_missing_image_does_not_end_pods_that_run(prod: Drive) -> None:
    """What was pulled stays; only the pods of the next weight lack it."""
    prod.raise_to(25)
    prod.fault("image missing")
    prod.promote()
    prod.run(30)
    canary = [pod for pod in prod.ports.cluster.pods(prod.target, "shop") if NEW in pod.image]
    assert (sum(pod.ready for pod in canary), sum(bool(pod.trouble) for pod in canary)) == (5, 5)


def test_a_fault_at_a_weight_begins_when_the_canary_goes_there(prod: Drive) -> None:
    """At 5 % all is well; on the way to 25 % the pods crash."""
    prod.fault("pods crash at 25%")
    prod.canary()
    prod.run(60)
    assert troubles(prod) == set()
    prod.promote()
    prod.run(8)
    assert troubles(prod) == {CRASH}


def test_a_fault_at_a_weight_that_is_passed_begins_now(prod: Drive) -> None:
    """The canary has that weight, and more."""
    prod.raise_to(50)
    prod.fault("pods crash at 25%")
    prod.run(4)
    assert troubles(prod) == {CRASH}


def test_a_fault_from_a_moment_begins_with_the_phase(prod: Drive) -> None:
    """Named as the engine names its phases, in any case; one that has begun already counts too."""
    prod.fault("prometheus down from Canary")
    assert not prod.world.faults.hit(FaultKind.PROMETHEUS_DOWN)
    prod.world.faults.moment("staging")
    assert not prod.world.faults.hit(FaultKind.PROMETHEUS_DOWN)
    prod.world.faults.moment("canary")
    assert prod.world.faults.hit(FaultKind.PROMETHEUS_DOWN)
    prod.fault("api server slow from staging")
    assert prod.world.faults.hit(FaultKind.API_SERVER_SLOW)


def test_a_slow_api_server_takes_two_seconds_a_call(prod: Drive) -> None:
    """Each look, each patch, each Helm operation; and it is seen with the first."""
    fault = prod.fault("api server slow")
    assert prod.began_s(fault) is None
    environment = prod.world._places["prod"].environment
    calls = (
        lambda: prod.ports.traffic.state(prod.target),
        lambda: prod.ports.cluster.pods(prod.target, "shop"),
        lambda: prod.ports.cluster.identity(environment),
        lambda: prod.ports.cluster.denied(environment, ()),
        lambda: prod.ports.traffic.container_index(prod.target, "app"),
        lambda: prod.ports.helm.history(prod.target),
        lambda: prod.ports.helm.manifest(prod.target),
    )
    for number, call in enumerate(calls, start=1):
        call()
        assert prod.world.clock.monotonic() == 2 * number
    assert prod.began_s(fault) == 0


def test_a_failed_upgrade_is_taken_back_by_helm(prod: Drive) -> None:
    """Failed, then rolled back as Helm does it; the template never changed."""
    fault = prod.fault("helm upgrade fails")
    before = prod.state
    with pytest.raises(ToolFailed, match=r"UPGRADE FAILED: release shop failed, and has been rolled back"):
        prod.ports.helm.execute(prod.upgrade())
    assert prod.history[2][:2] == (3, "superseded")
    assert prod.history[3][:2] == (4, "failed")
    assert prod.history[3][2].startswith('Upgrade "shop" failed: ')
    assert prod.history[4] == (5, "deployed", "Rollback to 3")
    prod.run(30)
    assert prod.state == before
    assert prod.began_s(fault) == 1.5


def test_a_failed_install_leaves_nothing(prod: Drive) -> None:
    """Helm uninstalls what it could not install."""
    prod.ports.helm.execute(HelmUninstall(target=prod.target, timeout=TIMEOUT))
    prod.fault("helm upgrade fails")
    with pytest.raises(ToolFailed, match="INSTALLATION FAILED: release shop failed, and has been uninstalled"):
        prod.ports.helm.execute(prod.upgrade())
    assert (prod.history, prod.ports.traffic.state(prod.target)) == ([], None)


def test_a_failed_rollback_leaves_the_new_template_and_no_deployed_revision(prod: Drive) -> None:
    """The abort still works; the release is left failed, as Helm leaves it."""
    fault = prod.fault("rollback fails")
    prod.canary()
    prod.abort()
    with pytest.raises(ToolFailed, match='Rollback "shop" failed'):
        prod.roll_back()
    assert [entry[:2] for entry in prod.history[-2:]] == [(4, "superseded"), (5, "failed")]
    prod.run(30)
    assert (prod.state.aborted, prod.state.weight_percent) == (True, 0)
    assert NEW in prod.state.image
    assert prod.began_s(fault) is not None


def test_a_refused_promote_moves_nothing_and_an_abort_goes_through(prod: Drive) -> None:
    """Only promotes are refused."""
    prod.canary()
    fault = prod.fault("promote refused")
    with pytest.raises(Rejected, match="admission denied it"):
        prod.promote()
    prod.run(30)
    assert prod.state.step_index == 1
    assert prod.abort().aborted
    assert prod.began_s(fault) is not None


def test_of_two_faults_of_a_kind_the_later_counts(prod: Drive) -> None:
    """And when it ends the earlier is on again."""
    state = prod.raise_to(25)
    prod.fault("error rate 50%")
    prod.fault("error rate 10% for 2 minutes")
    prod.run(15)
    assert prod.read(90, version=state.current_hash).value == pytest.approx(0.1, rel=0.01)
    prod.run(30)
    assert prod.read(90, version=state.current_hash).value == pytest.approx(0.5, rel=0.01)


def test_all_faults_can_be_ended(prod: Drive) -> None:
    """What was on is off, also one that would have ended later by itself; what was still waiting never begins."""
    prod.raise_to(25)
    crash = prod.fault("pods crash for 10 minutes")
    prod.fault("rollback fails")
    prod.fault("prometheus down at 50%")
    prod.run(5)
    assert troubles(prod) == {CRASH}
    prod.world.faults.end()
    prod.run(1)
    assert (troubles(prod), prod.state.weight_percent) == (set(), 25)
    prod.promote()
    prod.until(lambda seen: seen.at_our_pause and seen.step_index == 5)
    assert prod.read(60).total
    prod.roll_back()
    assert prod.history[-1][1] == "deployed"
    assert prod.began_s(crash) is not None


@pytest.mark.parametrize(
    "what", ["helm upgrade fails", "registry down", "scanner down", "incident open", "approval denied"]
)
def test_what_breaks_before_the_canary_cannot_begin_at_a_weight(prod: Drive, what: str) -> None:
    """It would never be met, so it is refused."""
    with pytest.raises(Refused, match="leave out 'at'"):
        prod.fault(f"{what} at 5%")


def test_a_weight_that_the_canary_never_has_is_refused(make_drive: MakeDrive) -> None:
    """With the weights that it has."""
    drive = make_drive(steps=(Step(kind="setWeight", weight=50), Step(kind="pause")))
    with pytest.raises(Refused, match=r"never has 75%, its weights are: 50%"):
        drive.fault("no data at 75%")
    with pytest.raises(Refused, match=r"its weights are: none"):
        make_drive(steps=()).fault("no data at 5%")


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("registry down", "build' or 'sign' or 'record"),
        ("scanner down", "scan"),
        ("incident open", "incidents"),
        ("approval denied", "approval"),
        ("notifier down", "chat"),
    ],
)
def test_a_fault_of_what_is_off_is_refused(make_drive: MakeDrive, text: str, section: str) -> None:
    """Where nothing asks what it breaks, a run with it would prove nothing."""
    with pytest.raises(Refused, match=f"no '{section}' section"):
        make_drive(sections=()).fault(text)


@pytest.mark.parametrize("text", ["helm upgrade fails", "rollback fails"])
def test_without_a_helm_release_helm_cannot_fail(make_drive: MakeDrive, bare_release: Release, text: str) -> None:
    """A rollout that is driven by image patches never meets Helm."""
    with pytest.raises(Refused, match="Helm release"):
        make_drive(release=bare_release).fault(text)


def test_a_rollback_is_no_canary_that_a_fault_befalls(prod: Drive) -> None:
    """After the commitment the newest version is the bad one, the old one that comes back stays good."""
    prod.commit()
    prod.fault("pods crash")
    prod.run(5)
    assert troubles(prod) == {CRASH}
    prod.roll_back()
    prod.until(lambda seen: any(v.digest == OLD and v.ready for v in seen.versions))
    old = [pod for pod in prod.ports.cluster.pods(prod.target, "shop") if OLD in pod.image]
    assert old
    assert all(pod.trouble == "" for pod in old)
