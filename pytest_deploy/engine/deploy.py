"""The deploy that steps act on: what it is to do, what is known so far, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from pytest_deploy.domain.action import HelmUpgrade, Json, Target, Undo, UndoKind
from pytest_deploy.domain.approval import Request
from pytest_deploy.domain.event import Attached, CapabilityOff, Fact, Reporter, Stopped, Warned
from pytest_deploy.domain.fault import Fault
from pytest_deploy.domain.found import Attachment, Found
from pytest_deploy.domain.judge import Judge
from pytest_deploy.domain.measurement import Objective, Reading
from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.plan import Gate, Stage
from pytest_deploy.domain.policy import Decision, Policy
from pytest_deploy.domain.record import Check, Record
from pytest_deploy.domain.release import Digest, Environment, ImageRef, Release
from pytest_deploy.domain.rollout import HelmRevision, KnownGood
from pytest_deploy.domain.slo import Slo
from pytest_deploy.domain.upgrade import release_target, rollout_target
from pytest_deploy.domain.verdict import Verdict
from pytest_deploy.domain.windows import Windows
from pytest_deploy.engine.transaction import Transaction
from pytest_deploy.errors import DeployCancelled, DeployError, GateBreach, Refused, RollbackError
from pytest_deploy.ports import Ports

__all__ = ["Deploy", "Ending", "Failure", "Limits"]


class Ending(Enum):
    """The end that a drill expects, and that was observed."""

    ROLLED_BACK = "rolled back"
    UNCHANGED = "stopped with nothing changed"
    HUMAN = "the rollback failed and a human was called"
    COMMITTED = "committed all the same"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long each part may take, and by how much windows are shortened.

    Args:
        helm: one Helm operation; Helm's own ``--timeout``.
        step: until a weight is there and its pods are ready.
        rollback: the whole way back.
        lock: until another deploy of this release has ended; zero: nothing is waited for.
        window_divisor: every window is this many times shorter (sandbox only).
    """

    helm: timedelta = timedelta(minutes=5)
    step: timedelta = timedelta(minutes=10)
    rollback: timedelta = timedelta(minutes=5)
    lock: timedelta = timedelta()
    window_divisor: float = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The first thing that went wrong, and where."""

    error: BaseException
    scenario: str
    step: str
    place: str

    @property
    def cause(self) -> str:
        """In short what went wrong, for notes and drills."""
        if isinstance(self.error, GateBreach):
            return self.error.cause
        if isinstance(self.error, DeployCancelled):
            return self.error.signal_name
        if isinstance(self.error, DeployError) and self.error.cause:
            return self.error.cause
        return type(self.error).__name__


@dataclass(kw_only=True)
class Deploy:
    """One run of one deploy feature: a transaction over a release in an environment.

    Args:
        stages: the canary's steps as the feature asks for them, read before anything is done.
        drill: the feature expects its own end; the first failure is then kept for its ``Then``.
        installs: environments where the release is installed before this one.
        commit: git SHA of the source that is checked out; None where there is no repository.
        chart_hash: of the chart with all the values that deploy.yaml gives it; "" where nobody knows it.
        windows: the team's calendar for the environment: freezes, business hours.
        record_age: how old a record may be that is taken as evidence.
        approval: what was approved, once it was.
        asked: what approvers were asked and have not answered; it is taken back at the end.
        candidate: the record that stands for what is not done again.
        checks: what this deploy has done or asked for so far, by name and subject (see ``domain.record.Check``).
        emit: tells every reporter.
    """

    id: str
    mode: Mode
    release: Release
    environment: Environment
    slo: Slo
    stages: tuple[Stage, ...]
    limits: Limits
    judge: Judge
    ports: Ports
    emit: Reporter
    policy: Policy = field(default_factory=Policy)
    labels: Mapping[str, str] = field(default_factory=dict)
    drill: bool = False
    installs: tuple[str, ...] = ()
    commit: str | None = None
    chart_hash: str = ""
    record_age: timedelta = timedelta(hours=24)
    windows: Windows = field(default_factory=Windows)

    digest: Digest | None = None
    known_good: KnownGood | None = None
    base_revision: int = 0
    new_hash: str | None = None
    reached: int | None = None
    actual_percent: float | None = None
    passed_weights: set[int] = field(default_factory=set)
    verdicts: dict[Gate, Verdict | None] = field(default_factory=dict)
    overrides: dict[Gate, Decision] = field(default_factory=dict)
    earlier: dict[Objective, list[Reading]] = field(default_factory=dict)
    earlier_control: dict[Objective, Reading] = field(default_factory=dict)
    checked: set[str] = field(default_factory=set)
    rendered: dict[HelmUpgrade, Sequence[Mapping[str, Json]]] = field(default_factory=dict)
    walked: list[GateBreach] | None = None
    off: list[str] = field(default_factory=list)
    approval: Request | None = None
    asked: Request | None = None
    candidate: Record | None = None
    looked_for_record: bool = False
    checks: dict[tuple[str, str], Check] = field(default_factory=dict)
    began: datetime = field(init=False)
    warned: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    committed: bool = False
    all_passed: bool = False
    failure: Failure | None = None
    ended: Ending | None = None
    drill_failed: bool = False
    rolled_back: bool = False
    rollback_error: RollbackError | None = None
    scenario: str = ""
    step: str = ""
    place: str = ""
    step_status: str = "passed"
    step_detail: str = ""
    tx: Transaction = field(init=False)

    def __post_init__(self) -> None:
        purpose = f"{self.release.service} to {self.environment.name}"
        self.tx = Transaction(
            deploy_id=self.id, ports=self.ports, emit=self.emit, purpose=purpose, rollout=self.rollout_target()
        )
        self.digest = self.release.image.digest
        self.began = self.ports.clock.now()

    def found(self, detail: str) -> None:
        """Say what the step that runs now found, in a line."""
        self.step_detail = detail

    def done(self, name: str, subject: str) -> None:
        """Note, for the signed record, that this check has passed with what the step found."""
        self.note(name, subject, "passed", self.step_detail)

    def note(self, name: str, subject: str, status: str, words: str) -> None:
        """Note a check for the signed record."""
        at = self.ports.clock.now()
        self.checks[name, subject] = Check(name=name, subject=subject, status=status, words=words, at=at)

    def found_all(self, found: Found) -> None:
        """Say what a tool found, and put its facts and attachments into the record."""
        for name, value in found.facts:
            self.fact(name, value)
        self.attach(found.attachments)
        self.found(found.words)

    def attach(self, attachments: Sequence[Attachment]) -> None:
        """Put texts into the record, as evidence of the step that runs now."""
        for attachment in attachments:
            self.emit(Attached(at=self.ports.clock.now(), attachment=attachment))

    def fact(self, name: str, value: str) -> None:
        """Put something that was established into the record."""
        self.emit(Fact(at=self.ports.clock.now(), name=name, value=value))

    def moment(self, name: str) -> None:
        """Let the faults begin that wait for this moment; the real world has none."""
        if self.ports.faults is not None:
            self.ports.faults.moment(name)

    def warn(self, text: str) -> None:
        """Tell something that stops nothing."""
        self.warned.append(text)
        self.emit(Warned(at=self.ports.clock.now(), text=text))

    def switched_off(self, section: str, what: str) -> None:
        """Let the step pass although nothing was done, and say so everywhere."""
        self.off.append(section)
        self.step_status = "off"
        self.found(f"{what} was NOT done: deploy.yaml has no {section!r} section")
        self.note(section, "", "off", self.step_detail)
        self.emit(CapabilityOff(at=self.ports.clock.now(), capability=what, section=section))

    def fail(self, error: BaseException) -> None:
        """Keep the first failure; it is what stops the deploy."""
        if self.failure is not None:
            return
        self.failure = Failure(error=error, scenario=self.scenario, step=self.step, place=self.place)
        self.emit(
            Stopped(
                at=self.ports.clock.now(),
                reason=str(error),
                cause=self.failure.cause,
                scenario=self.scenario,
                step=self.step,
                place=self.place,
            )
        )

    def run(self, phase: Callable[[], None]) -> None:
        """Run one step's work; in a drill the first failure is kept for the ``Then`` that expects it.

        After such a failure the steps up to that ``Then`` do nothing.
        """
        if self.failure is not None and self.drill:
            self.found("not run: the deploy has stopped already")
            return
        try:
            phase()
        except (GateBreach, DeployError) as error:
            self.attach(error.attachments)
            self.fail(error)
            if not self.drill:
                raise
            self.found(f"stopped: {error}")

    def standing_gate(self) -> tuple[Gate, tuple[Gate, ...]]:
        """Return the gate of the step that runs now, and all that stand together with it.

        Raises:
            DeployError: the step follows no weight in its scenario, so that nothing is known to judge.
        """
        for stage in self.stages:
            for gate in stage.gates:
                if (gate.place, gate.scenario) == (self.place, self.scenario):
                    return gate, stage.gates
        raise DeployError(
            f"{self.place}: the gate follows no canary weight in its scenario",
            hint="let it stand after When <weight> of the traffic goes to the canary",
        )

    @property
    def image(self) -> ImageRef:
        """The image to deploy, pinned.

        Raises:
            Refused: nobody knows its digest yet.
        """
        return self.release.image.with_digest(self.required_digest)

    @property
    def reached_its_end(self) -> bool:
        """Whether all went well: every scenario passed, and the canary, where there is one, is committed."""
        return self.failure is None and self.all_passed and (self.committed or not self.stages)

    @property
    def required_digest(self) -> Digest:
        """The digest that is deployed everywhere.

        Raises:
            Refused: nobody knows it yet.
        """
        if self.digest is None:
            name = self.release.image.repository
            raise Refused(
                f"no digest of {name} is known: it is neither built here nor given",
                hint=f"give it pinned, image: {name}@sha256:..., or switch the build on with a 'build' section",
            )
        return self.digest

    @property
    def undo(self) -> Undo:
        """The way back of every mutation of the canary: what is to be done is read from the cluster then.

        The same for all of them: a stack of inverse patches would walk back through weights that nobody wants.
        """
        return Undo(
            kind=UndoKind.RESTORE_CANARY,
            release=self.release_target(),
            rollout=self.rollout_target(),
            container=self.environment.container,
            known_good=self.known_good,
            timeout=self.limits.rollback,
        )

    def rollout_target(self, environment: Environment | None = None) -> Target:
        """Return the rollout of the environment; None means the one that the deploy is bound for."""
        return rollout_target(environment or self.environment)

    def release_target(self, environment: Environment | None = None) -> Target | None:
        """Return the Helm release of the environment; None where no release owns the rollout."""
        return release_target(environment or self.environment)

    def last_revision(self, release: Target) -> HelmRevision:
        """Return Helm's last revision of the release.

        Raises:
            DeployError: Helm no longer knows the release.
        """
        history = self.ports.helm.history(release)
        if not history:
            raise DeployError(
                f"Helm has no release {release} any more",
                hint="find out who uninstalled it",
                cause="foreign change",
            )
        return history[-1]
