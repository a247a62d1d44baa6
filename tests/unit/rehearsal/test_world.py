"""The world as a whole: what is on, that it is deterministic, and what it costs."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pytest_deploy.domain.journal import Entry, EntryState, Milestone
from pytest_deploy.domain.measurement import Subject
from pytest_deploy.domain.release import ImageRef, Release
from pytest_deploy.domain.rollout import Permission, Step
from pytest_deploy.errors import GateBreach, Refused, ToolFailed, Unreachable
from pytest_deploy.ports import CAPABILITIES
from pytest_deploy.rehearsal import MemoryJournal
from tests.unit.rehearsal.conftest import ERRORS, NEW, OLD, Drive, MakeDrive, environment

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
    assert set(prod.ports.capabilities) == set(CAPABILITIES) - {"build"}
    for capability in prod.ports.capabilities.values():
        answer = capability("the subject")
        assert answer.startswith("rehearsed: ")
    assert prod.ports.capabilities["smoke"]("https://x.example.com") == "rehearsed: https://x.example.com answered 200"


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
        ("approval denied", "approval", GateBreach, "approval denied"),
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
            assert capability("the subject").startswith("rehearsed: ")


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
