"""The world as a whole: what is on, that it is deterministic, and what it costs."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pytest_deploy.domain import power
from pytest_deploy.domain.evidence_judge import EvidenceJudge
from pytest_deploy.domain.journal import Entry, EntryState, Milestone
from pytest_deploy.domain.measurement import Evidence, Objective, Reading, Subject
from pytest_deploy.domain.release import ImageRef, Release
from pytest_deploy.domain.rollout import Permission, Step
from pytest_deploy.domain.verdict import VerdictKind
from pytest_deploy.errors import GateBreach, Refused, ToolFailed, Unreachable
from pytest_deploy.ports import CAPABILITIES
from pytest_deploy.rehearsal import MemoryJournal
from tests.unit.rehearsal.conftest import ERRORS, NEW, OLD, P95, SCRAPE, Drive, MakeDrive, environment

AT = datetime(2026, 1, 5, tzinfo=UTC)
IMAGE = ImageRef.parse("registry.example.com/shop:1.2")


def test_a_capability_is_on_where_its_section_is_there(make_drive: MakeDrive) -> None:
    """Those of the given sections, no other; the builder too; sections of other things are not asked for."""
    ports = make_drive(sections=("scan", "chat", "metrics")).ports
    assert set(ports.capabilities) == {"scan", "chat"}
    assert ports.builder is None
    assert make_drive(sections=("build",)).ports.builder is not None


def test_every_capability_can_be_rehearsed(prod: Drive) -> None:
    """Each that a deploy.yaml may switch on answers for its subject, and says that it was rehearsed."""
    assert set(prod.ports.capabilities) == set(CAPABILITIES) - {"build", "sign", "record", "approval"}
    for capability in prod.ports.capabilities.values():
        assert capability("the subject").words.startswith("rehearsed: ")
    smoke = prod.ports.capabilities["smoke"]("https://x.example.com")
    assert smoke.words == "rehearsed: https://x.example.com answered 200"
    assert prod.ports.signer is not None
    assert prod.ports.signer.verify("x@sha256:1").words.startswith("rehearsed: ")


def test_a_build_gives_the_digest_of_its_reference(prod: Drive) -> None:
    """Twice the same, another for another reference; one that is given stays."""
    builder = prod.ports.builder
    assert builder is not None
    digest = builder.build(IMAGE)
    assert digest == builder.build(IMAGE)
    assert digest != builder.build(ImageRef.parse("registry.example.com/shop:1.3"))
    assert digest != OLD
    assert builder.build(IMAGE.with_digest(NEW)) == NEW


@pytest.mark.parametrize(
    ("text", "section", "error", "cause"),
    [
        ("scanner down", "scan", ToolFailed, None),
        ("incident open", "incidents", GateBreach, "incident open"),
        ("notifier down", "chat", Unreachable, None),
    ],
)
def test_a_tool_that_fails_says_no_or_nothing(
    prod: Drive, text: str, section: str, error: type[Exception], cause: str | None
) -> None:
    """A no is a breach with its cause; no answer is an error, never a yes. The others still answer."""
    fault = prod.fault(text)
    with pytest.raises(error) as caught:
        prod.ports.capabilities[section]("the subject")
    assert getattr(caught.value, "cause", None) == cause
    assert prod.began_s(fault) == 1
    for name, capability in prod.ports.capabilities.items():
        if name != section:
            assert capability("the subject").words.startswith("rehearsed: ")


def test_a_registry_that_is_down_gives_no_digest(prod: Drive) -> None:
    """Unreachable, with the next move."""
    prod.fault("registry down")
    assert prod.ports.builder is not None
    with pytest.raises(Unreachable, match="does not answer") as caught:
        prod.ports.builder.build(IMAGE)
    assert caught.value.hint


def test_the_cluster_is_who_deploy_yaml_expects(prod: Drive) -> None:
    """The expected server answers; where none is named, one that can't be mistaken for a real one."""
    cluster = prod.ports.cluster
    named = replace(environment("prod"), server="https://10.0.0.1:6443")
    assert cluster.identity(named).server == "https://10.0.0.1:6443"
    assert cluster.identity(environment("prod")).server == "https://acme-prod.rehearsal.invalid"
    with pytest.raises(Refused, match="acme-qa"):
        cluster.identity(environment("qa"))


def test_nothing_is_denied(prod: Drive) -> None:
    """The account may do everything."""
    asked = [Permission(verb="patch", group="argoproj.io", resource="rollouts", namespace="prod-ns")]
    assert prod.ports.cluster.denied(environment("prod"), asked) == ()


def test_a_rollout_without_a_helm_release_is_driven_by_image(make_drive: MakeDrive, bare_release: Release) -> None:
    """There is a Rollout and no history; its container is found by name."""
    drive = make_drive(release=bare_release)
    assert drive.history == []
    assert drive.state.image.endswith(OLD)
    assert drive.ports.traffic.container_index(drive.target, "app") == 0
    with pytest.raises(Refused, match="no container 'nginx'") as caught:
        drive.ports.traffic.container_index(drive.target, "nginx")
    assert caught.value.hint == "its containers are: app"


def test_a_step_that_cannot_be_played_is_an_error(make_drive: MakeDrive) -> None:
    """The model knows weights and pauses, and does not pretend to know more."""
    with pytest.raises(ValueError, match="can't play these steps: analysis"):
        make_drive(steps=(Step(kind="analysis"),))


def test_staging_has_pods_and_no_steps(staging: Drive) -> None:
    """It runs the old image on as many pods, and rolls out at once."""
    assert (staging.state.steps, staging.state.step_index, staging.state.replicas) == ((), None, 20)
    assert staging.history[-1][1] == "deployed"


def test_without_a_history_three_revisions_are_made_up(make_drive: MakeDrive) -> None:
    """Each with its own digest, the same in each run."""
    first, second = make_drive(history=None), make_drive(history=None)
    assert [entry[:2] for entry in first.history] == [(1, "superseded"), (2, "superseded"), (3, "deployed")]
    assert first.state.image == second.state.image
    assert first.state.image.startswith("registry.example.com/shop@sha256:")


def test_the_journal_keeps_its_entries_in_order() -> None:
    """What is given out does not change with what is appended later."""
    journal = MemoryJournal()
    entries = [
        Entry(seq=n, at=AT, deploy_id="d", state=EntryState.MILESTONE, milestone=Milestone.OPENED) for n in (1, 2)
    ]
    journal.append(entries[0])
    early = journal.entries()
    journal.append(entries[1])
    assert (list(early), list(journal.entries())) == (entries[:1], entries)


@pytest.mark.parametrize(
    ("fault", "broken"),
    [("error rate 0.4%", False), ("error rate 0.6%", True), ("p95 latency 299ms", False), ("p95 latency 301ms", True)],
)
def test_a_gate_program_sees_the_slo_broken(make_drive: MakeDrive, tmp_path: Path, fault: str, broken: bool) -> None:
    """By the canary, as soon as it gets requests: the program then ends with 1."""
    program = tmp_path / "check.sh"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    drive = make_drive(folder=tmp_path)
    assert drive.ports.scripts is not None
    drive.fault(fault)
    assert drive.ports.scripts.check("./check.sh", "shop", 5).status == 0, "there is no canary yet"
    drive.canary()
    assert drive.ports.scripts.check("./check.sh", "shop", 5).status == int(broken)
    assert make_drive().ports.scripts is None


def test_load_is_there_where_deploy_yaml_has_it(make_drive: MakeDrive) -> None:
    """It adds its rate to the service's while it runs; else there is none."""
    assert make_drive().ports.load is None
    drive = make_drive(load=True, load_rate_per_s=50.0)
    assert drive.ports.load is not None
    drive.ports.load.start("d1")
    assert drive.read(60).total == 45 * 250
    assert "50 requests/s" in drive.ports.load.stop()
    drive.run(15)
    assert drive.read(60).total == 45 * 200


@pytest.mark.parametrize("objective", [ERRORS, P95])
def test_a_healthy_canary_is_evidence_enough(prod: Drive, objective: Objective) -> None:
    """At the default rate, in windows of 5 minutes, the default judge passes each weight, and the commitment."""
    state = prod.canary()
    judge, window = EvidenceJudge(), timedelta(minutes=5)
    earlier: list[Reading] = []
    for weight, following in ((5, 25), (25, 50), (50, 100), (100, None)):
        multiple = None if following is None else power.allowed_multiple(following, window)
        since = prod.ports.metrics.now()
        readings: list[Reading] = []
        for _ in range(20):
            prod.run(15)
            subject = Subject(service="shop", template_hash=state.current_hash)
            readings.append(prod.ports.metrics.read(objective, subject, since))
        evidence = Evidence(
            window=window,
            started=since,
            readings=tuple(readings),
            scrape_interval=SCRAPE,
            over=True,
            earlier=tuple(earlier),
            allowed_multiple=multiple,
        )
        ruling = judge(evidence, objective)
        assert ruling is not None
        assert ruling.kind is VerdictKind.PASS, f"at {weight} %: {ruling.rule}"
        earlier.append(readings[-1])
        prod.promote()
        prod.until(lambda seen: seen.at_our_pause or seen.promoted)
        prod.run(15)
    assert sum(each.total or 0 for each in earlier) >= power.needed(objective.bad_limit_ratio, promoted_with=0.99)


def test_two_runs_are_the_same_to_the_microsecond(make_drive: MakeDrive) -> None:
    """The same calls give the same states, times, pods and counts."""

    def story() -> list[object]:
        drive = make_drive()
        drive.fault("error rate 5% at 25%")
        states: list[object] = [drive.raise_to(25), drive.read(120), drive.abort(), drive.roll_back(), drive.history]
        return [*states, drive.ports.cluster.pods(drive.target, "shop"), drive.world.clock.now()]

    assert story() == story()


def test_a_canary_of_half_an_hour_takes_no_second(prod: Drive) -> None:
    """Four weights of five minutes, fifteen minutes after it, each read at each scrape, less than 1 s of CPU."""
    began = time.process_time()
    state = prod.canary()
    for _ in range(4):
        since = prod.ports.metrics.now()
        for _ in range(20):
            prod.run(15)
            prod.ports.metrics.read(ERRORS, Subject(service="shop", template_hash=state.current_hash), since)
        prod.promote()
        state = prod.until(lambda seen: seen.at_our_pause or seen.promoted)
    prod.run(900)
    assert state.promoted
    assert prod.world.clock.monotonic() > 35 * 60
    assert time.process_time() - began < 1
