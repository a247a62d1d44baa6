"""Evidence that outlives its deploy: attached, found, believed or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pytest_deploy.domain.event import Fact, Warned
from pytest_deploy.domain.found import Found
from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.record import STAGING, Check, Record, RecordKind
from pytest_deploy.domain.release import ImageRef
from pytest_deploy.engine import finish, phases, record, staging
from pytest_deploy.errors import GateBreach, Refused, ToolFailed, Unreachable
from tests.unit.engine.conftest import NEW, RELEASE, Bench

Benches = Callable[..., Bench]
COMMIT, CHART = "1" * 40, "sha256:" + "c" * 64
ALL = ("record", "scan", "tests")


@pytest.fixture
def made(bench: Benches) -> Bench:
    """Give a deploy with records on, from a known commit and chart."""
    return known(bench(sections=ALL))


def known(made: Bench) -> Bench:
    """Let the deploy know its source."""
    made.deploy.commit, made.deploy.chart_hash = COMMIT, CHART
    return made


def candidate(made: Bench, **changed: Any) -> Record:
    """Return what a release candidate has left for this image an hour ago."""
    at = made.world.clock.now() - timedelta(hours=1)
    checks = tuple(
        Check(name=name, subject=subject, status="passed", words=f"{name} was good", at=at)
        for name, subject in (("tests", "make test"), ("install", STAGING), (STAGING, STAGING))
    )
    fields: dict[str, Any] = {
        "kind": RecordKind.CANDIDATE,
        "deploy_id": "d0",
        "service": "api",
        "environment": STAGING,
        "image": "ghcr.io/acme/api",
        "digest": made.deploy.required_digest,
        "commit": COMMIT,
        "chart": CHART,
        "outcome": "passed",
        "checks": checks,
        "began": at,
        "ended": at,
    }
    return Record(**(fields | changed))


def there(made: Bench, *records: Record) -> None:
    """Let the registry hold these records of the image."""
    assert made.deploy.ports.records is not None
    for each in records:
        made.deploy.ports.records.attach(each.pinned, each)


def kept(made: Bench) -> tuple[Record, ...]:
    """What the registry holds of the image."""
    assert made.deploy.ports.records is not None
    return made.deploy.ports.records.find(NEW)


def warnings(made: Bench) -> list[str]:
    """What was warned of."""
    return [event.text for event in made.told(Warned)]


def stage(made: Bench) -> None:
    """Install in staging and watch the pods, as the steps do."""
    record.once(made.deploy, "install", STAGING, lambda: staging.install(made.deploy, STAGING))
    minutes = timedelta(minutes=5)
    record.once(made.deploy, STAGING, STAGING, lambda: staging.pods_run(made.deploy, STAGING, minutes))


# Attached


def test_a_candidate_leaves_its_record(made: Bench) -> None:
    """What passed, what was off, of which source: journalled as a write to the registry, with no way back."""
    phases.check(made.deploy, "tests", "make test")
    phases.check(made.deploy, "smoke", "https://staging")
    made.deploy.step_status = "passed"
    stage(made)
    record.attach(made.deploy)
    (left,) = kept(made)
    assert (left.kind, left.outcome, left.commit, left.chart, left.pinned) == (
        "candidate",
        "passed",
        COMMIT,
        CHART,
        NEW,
    )
    assert [(each.name, each.subject, each.status) for each in left.checks] == [
        ("tests", "make test", "passed"),
        ("smoke", "", "off"),
        ("install", "staging", "passed"),
        ("staging", "staging", "passed"),
    ]
    assert made.deploy.step_detail == f"rehearsed: record of deploy d1 attached to {NEW}"
    assert made.done()[-1] == "attach the"


def test_a_record_without_staging_is_not_made(made: Bench) -> None:
    """It would never count, and whoever reads the feature thinks it does."""
    with pytest.raises(Refused, match="no staging has passed, so its record would never count") as raised:
        record.attach(made.deploy)
    assert "every pod runs the pinned digest" in raised.value.hint
    assert kept(made) == ()


def test_a_registry_that_is_down_stops_the_candidate(made: Bench) -> None:
    """Without its record nothing could be deployed to production anyway."""
    stage(made)
    made.fault("registry down")
    with pytest.raises(Unreachable, match="attaching a record") as raised:
        record.attach(made.deploy)
    assert raised.value.cause == "record"


def test_records_that_are_off(bench: Benches) -> None:
    """Both steps pass, and are said to be off."""
    made = bench()
    record.require(made.deploy)
    assert made.deploy.step_status == "off"
    record.attach(made.deploy)
    assert made.deploy.off == ["record", "record"]
    record.at_end(made.deploy, "whatever")
    phases.is_pinned(made.deploy)
    record.once(made.deploy, "tests", "make test", lambda: made.deploy.found("ran"))
    assert made.deploy.step_detail == "ran"


# Required


def test_the_second_feature_believes_the_first(made: Bench) -> None:
    """Its record stands for what it names, and for nothing else; what was off there is said."""
    off = Check(name="scan", subject="", status="off", words="NOT done", at=made.world.clock.now())
    good = candidate(made)
    there(made, replace(good, checks=(*good.checks, off)))
    record.require(made.deploy)
    assert made.deploy.step_detail.startswith("record of d0, commit 111111111111, ended ")
    assert made.deploy.step_detail.endswith("signed: tests, install, staging passed")
    assert warnings(made) == ["the release candidate had 'scan' off"]
    assert [fact.name for fact in made.told(Fact)] == ["candidate"]
    phases.check(made.deploy, "tests", "make test")
    assert made.deploy.step_detail == "passed 1 h 2 s ago in d0, by its signed record: tests was good"
    phases.check(made.deploy, "tests", "make integration-test")
    assert made.deploy.step_detail == "rehearsed: make integration-test passed"
    phases.check(made.deploy, "scan", NEW)
    assert made.deploy.step_detail.startswith("rehearsed: ")
    stage(made)
    assert made.done() == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"commit": "2" * 40}, "it is of another commit"),
        ({"chart": "sha256:d"}, "it is of another chart and values"),
        ({"outcome": "ROLLED BACK"}, "its deploy did not pass: ROLLED BACK"),
        ({"checks": ()}, "it tells of no staging that passed"),
    ],
)
def test_a_record_that_does_not_hold_is_refused(made: Bench, changed: dict[str, Any], says: str) -> None:
    """With every reason, and the feature that makes a new one; nothing was written."""
    there(made, candidate(made, **changed))
    with pytest.raises(Refused, match=f"(?s)is no evidence for {NEW}.*{says}") as raised:
        record.require(made.deploy)
    assert "pytest features/release_candidate.feature" in raised.value.hint
    assert raised.value.cause == "record"
    assert made.deploy.candidate is None
    assert made.done() == []


def test_a_record_that_is_too_old(made: Bench) -> None:
    """The age is a setting."""
    made.deploy.record_age = timedelta(minutes=30)
    there(made, candidate(made))
    with pytest.raises(Refused, match=r"its oldest check was 1 h 2 s ago, and the limit is 30 min"):
        record.require(made.deploy)


def test_an_image_without_a_record(made: Bench) -> None:
    """One of a deploy to production is none of a candidate."""
    there(made, candidate(made, kind=RecordKind.DEPLOY))
    with pytest.raises(Refused, match="has no record of a release candidate"):
        record.require(made.deploy)


def test_the_newest_record_counts(made: Bench) -> None:
    """A staging that failed later is worth more than one that passed before."""
    now = made.world.clock.now()
    there(made, candidate(made, outcome="STOPPED", ended=now), candidate(made))
    with pytest.raises(Refused, match="its deploy did not pass: STOPPED"):
        record.require(made.deploy)


def test_no_digest_no_record(bench: Benches) -> None:
    """The second feature gets the image by digest."""
    made = known(bench(release=replace(RELEASE, image=ImageRef.parse("ghcr.io/acme/api")), sections=ALL))
    with pytest.raises(Refused, match=r"no digest of ghcr\.io/acme/api is known"):
        record.require(made.deploy)


# Accepted without being asked for


def test_a_deploy_that_starts_over_goes_on(made: Bench) -> None:
    """What passed for this digest, commit and chart is not done again; its record is not made younger."""
    there(made, candidate(made))
    phases.check(made.deploy, "tests", "make test")
    stage(made)
    assert made.done() == []
    record.attach(made.deploy)
    assert made.deploy.step_detail.startswith("nothing new: the record of d0")
    assert len(kept(made)) == 1


def test_what_is_added_keeps_the_age_of_the_rest(made: Bench) -> None:
    """A new check makes a new record, whose oldest check is as old as it was."""
    old = candidate(made)
    there(made, old)
    stage(made)
    phases.check(made.deploy, "scan", NEW)
    record.attach(made.deploy)
    assert kept(made)[-1].since == old.since
    assert kept(made)[-1].passed("scan") is not None


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"commit": "2" * 40}, "is no evidence, all is done here: it is of another commit"),
        ({"kind": RecordKind.DEPLOY}, None),
    ],
)
def test_without_evidence_all_is_done_here(made: Bench, changed: dict[str, Any], says: str | None) -> None:
    """Nobody asked for a record, so that one which does not hold stops nothing."""
    there(made, candidate(made, **changed))
    stage(made)
    assert made.done() == ["helm upgrade"]
    told = [text for text in warnings(made) if "evidence" in text]
    assert len(told) == (says is not None)
    assert says is None or says in told[0]


@pytest.mark.parametrize("error", [Unreachable("down"), GateBreach("unsigned", cause="record")])
def test_a_registry_that_gives_no_answer_is_no_evidence(made: Bench, error: Exception) -> None:
    """All is done here, and the reason is said, once."""

    def find(original: object, pinned: str) -> tuple[Record, ...]:
        raise error

    made.alter("records", find=find)
    stage(made)
    assert made.done() == ["helm upgrade"]
    assert [text for text in warnings(made) if "no record is taken" in text] == [
        f"no record is taken as evidence, all is done here: {error}"
    ]


def test_what_changes_by_the_minute_is_asked_anew(bench: Benches) -> None:
    """An incident that was not open an hour ago may be open now."""
    made = known(bench(sections=("record", "incidents")))
    at = made.world.clock.now()
    there(made, candidate(made))
    quiet = Check(name="incidents", subject="service:api", status="passed", words="none", at=at)
    there(made, candidate(made, checks=(*candidate(made).checks, quiet), ended=at))
    made.fault("incident open")
    with pytest.raises(GateBreach, match="is open"):
        phases.check(made.deploy, "incidents", "service:api")


# Before production


def test_production_is_never_the_first(made: Bench) -> None:
    """In a real deploy the first weight needs a staging that passed: here, or by a record that holds."""
    made.deploy.mode = Mode.REAL
    with pytest.raises(Refused, match=f"{NEW} was not seen running anywhere else: prod would be the first") as raised:
        made.raise_to(5)
    assert raised.value.cause == "staging"
    assert made.done() == []
    stage(made)
    made.raise_to(5)


def test_a_record_of_staging_is_enough(made: Bench) -> None:
    """The second of two features installs nothing but in production."""
    made.deploy.mode = Mode.REAL
    there(made, candidate(made))
    record.require(made.deploy)
    made.raise_to(5)
    assert made.done() == ["helm upgrade"]


def test_where_there_is_no_other_place(made: Bench) -> None:
    """One environment alone is deployed to, with a warning."""
    made.deploy.mode = Mode.REAL
    made.deploy.release = replace(made.deploy.release, environments={"prod": made.deploy.environment})
    record.staged(made.deploy)
    assert warnings(made) == ["deploy.yaml has no environment but prod: nothing runs anywhere before it"]


# At the end


def test_a_staging_that_fails_leaves_a_record_too(made: Bench) -> None:
    """An older one of the same image counts no more."""
    there(made, candidate(made, checks=()))
    made.fault("pods never ready")
    with pytest.raises(Exception, match="every pod in staging"):
        made.deploy.run(lambda: stage(made))
    finish.roll_back(made.deploy)
    finish.close(made.deploy)
    left = [each for each in kept(made) if each.deploy_id == "d1" and each.kind is RecordKind.CANDIDATE]
    assert [(each.outcome.startswith("ROLLED BACK"), each.passed(STAGING)) for each in left] == [(True, None)]
    assert [(each.name, each.status) for each in left[0].checks][-1] == ("staging", "failed")


def test_a_deploy_leaves_its_record(made: Bench) -> None:
    """With each verdict; of the candidate that it believed its checks are told, too."""
    there(made, candidate(made))
    record.require(made.deploy)
    made.committed()
    made.deploy.all_passed = True
    finish.close(made.deploy)
    left = kept(made)[-1]
    assert (left.kind, left.outcome) == ("deploy", "COMMITTED")
    gates = [each for each in left.checks if each.name == "gate"]
    assert len(gates) == len(made.deploy.verdicts)
    assert {each.status for each in gates} == {"passed"}
    assert gates[0].subject == "error rate at 5 %"


def test_a_rollback_is_in_the_record(made: Bench) -> None:
    """What broke, and that the way back was verified."""
    made.fault("error rate 5% at 25%")
    with pytest.raises(GateBreach) as raised:
        made.pass_through(5, 25)
    made.deploy.fail(raised.value)
    finish.roll_back(made.deploy)
    finish.close(made.deploy)
    left = kept(made)[-1]
    assert left.outcome.startswith("ROLLED BACK")
    assert [each.subject for each in left.checks if (each.name, each.status) == ("gate", "failed")] == [
        "error rate at 25 %"
    ]
    assert [(each.status, each.words) for each in left.checks if each.name == "rollback"] == [("passed", "verified")]


def test_a_registry_that_is_down_at_the_end_changes_no_outcome(made: Bench) -> None:
    """It is said as a warning."""
    made.committed()
    made.deploy.all_passed = True
    made.alter("records", attach=lambda original, pinned, record: _no_answer())
    assert finish.close(made.deploy).status == 0
    assert "no record of this deploy is attached to the image: no answer" in warnings(made)[-1]


def _no_answer() -> Found:
    raise ToolFailed("no answer")


def test_what_wrote_nothing_leaves_nothing(made: Bench) -> None:
    """A deploy that pre-flight stopped has no record: nobody asked the registry for anything."""
    record.at_end(made.deploy, "REFUSED")
    assert kept(made) == ()
    assert made.done() == []
