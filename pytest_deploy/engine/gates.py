"""Gates: all that stand together are watched over one window and judged at its end, or at the first clear breach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pytest_deploy.domain.event import Judged, Looked
from pytest_deploy.domain.measurement import Evidence, Reading, Subject
from pytest_deploy.domain.plan import Gate
from pytest_deploy.domain.power import allowed_multiple
from pytest_deploy.domain.verdict import Ruling, Verdict, VerdictKind
from pytest_deploy.engine import canary
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.errors import DeployError, GateBreach, RemoteError

__all__ = ["check", "verdict_of_walk", "walk", "watch"]

_LOOKS = timedelta(seconds=1)
"""The shortest time between two looks at a gate: scraping more often than each second is unusual."""


def check(deploy: Deploy, gate: Gate, together: Sequence[Gate]) -> None:
    """Let one gate of a step speak; the first of those that stand together watches for all of them.

    Args:
        together: all gates of the step, this one included.

    Raises:
        GateBreach: its verdict is not PASS.
    """
    if gate not in deploy.verdicts:
        watch(deploy, together)
    verdict = deploy.verdicts[gate]
    if verdict is None:
        other = next(v for v in deploy.verdicts.values() if v is not None and v.kind is VerdictKind.FAIL)
        deploy.found(f"no breach by then; the watch was ended by: {other.sentence}")
        return
    if not deploy.committed and verdict.weight != deploy.reached:
        raise DeployError(f"the verdict is of {verdict.weight} %, the canary stands at {deploy.reached} %")
    deploy.found(verdict.sentence)
    if verdict.kind is not VerdictKind.PASS:
        raise _breach(verdict)
    if all(v is not None and v.kind is VerdictKind.PASS for g, v in deploy.verdicts.items() if g in together):
        _passed(deploy)


def watch(deploy: Deploy, gates: Sequence[Gate]) -> tuple[Verdict, ...]:
    """Watch the gates over their longest window and keep each one's verdict in ``deploy.verdicts``.

    The window begins one scrape after the weight was observed, by the metrics server's clock, so that no
    sample from before belongs to it. A FAIL ends it at once; the gates that had not decided get None.

    Raises:
        DeployError: there is no gate, or the rollout was moved by somebody else meanwhile.
        GateBreach: the canary's pods died.
    """
    if not gates:
        raise DeployError("a step without a gate can't be judged", hint="let a Then with a limit follow the When")
    ports, clock = deploy.ports, deploy.ports.clock
    window = max(gate.window for gate in gates) / deploy.limits.window_divisor
    subject = _subject(deploy)
    clock.sleep(ports.metrics.scrape_interval)
    end = clock.monotonic() + window.total_seconds()
    multiple = _allowed_multiple(deploy)
    watches = [
        _Watch(gate=gate, earlier=tuple(deploy.earlier.get(gate.objective, ())), allowed_multiple=multiple)
        for gate in gates
    ]
    started: datetime | None = None
    silent = ""
    over = failed = False
    while not over and not failed:
        if started is None:
            started, silent = _server_time(deploy)
        left = timedelta(seconds=end - clock.monotonic())
        if left > timedelta():
            clock.sleep(min(left, max(ports.metrics.scrape_interval, _LOOKS)))
        over = clock.monotonic() >= end
        if end - clock.monotonic() <= window.total_seconds() / 2:
            deploy.moment(f"mid-window at {deploy.reached}%")
        for each in watches:
            each.look(deploy, subject, started, window, silent=silent, over=over)
        canary.watched(deploy)
        left = timedelta(seconds=max(0.0, end - clock.monotonic()))
        deploy.emit(Looked(at=clock.now(), lines=tuple(each.words for each in watches), left=left))
        failed = any(each.ruling is not None and each.ruling.kind is VerdictKind.FAIL for each in watches)
    begin = started or clock.now()
    verdicts = []
    for each in watches:
        verdict = each.verdict(deploy, subject, begin, window)
        deploy.verdicts[each.gate] = verdict
        if verdict is not None:
            verdicts.append(verdict)
            deploy.emit(Judged(at=clock.now(), verdict=verdict))
    _keep(deploy, verdicts)
    return tuple(verdicts)


def walk(deploy: Deploy, weights: Sequence[int]) -> None:
    """Promote through the weights, each judged; the first breach ends it and is kept for ``verdict_of_walk``.

    Raises:
        DeployError: a weight was not reached.
    """
    deploy.walked = []
    for weight in weights:
        canary.raise_to(deploy, weight)
        stage = canary.stage_of(deploy, weight)
        watch(deploy, stage.gates)
        try:
            for gate in sorted(stage.gates, key=lambda each: deploy.verdicts[each] is None):
                check(deploy, gate, stage.gates)
        except GateBreach as breach:
            deploy.walked.append(breach)
            deploy.found(f"stopped at {weight} %")
            return
    deploy.found(f"promoted through {', '.join(f'{weight} %' for weight in weights)}")


def verdict_of_walk(deploy: Deploy) -> None:
    """Give the verdict of the walk.

    Raises:
        GateBreach: of the gate that stopped it.
    """
    if deploy.walked:
        raise deploy.walked[0]
    deploy.found(f"{len(deploy.verdicts)} gates passed at {len(deploy.passed_weights)} weights")


@dataclass(kw_only=True)
class _Watch:
    """One gate over its window: what was read, and the ruling once there is one."""

    gate: Gate
    earlier: tuple[Reading, ...]
    allowed_multiple: float | None
    readings: list[Reading] = field(default_factory=list)
    unreadable: str = ""
    ruling: Ruling | None = None

    def look(
        self,
        deploy: Deploy,
        subject: Subject,
        started: datetime | None,
        window: timedelta,
        *,
        silent: str,
        over: bool,
    ) -> None:
        metrics = deploy.ports.metrics
        if started is None:
            self.unreadable = f"the window can't begin: {silent}"
        else:
            try:
                self.readings.append(metrics.read(self.gate.objective, subject, started))
                self.unreadable = ""
            except RemoteError as error:
                self.unreadable = str(error)
        evidence = Evidence(
            window=window,
            started=started or deploy.ports.clock.now(),
            readings=tuple(self.readings),
            scrape_interval=metrics.scrape_interval,
            over=over,
            earlier=self.earlier,
            allowed_multiple=self.allowed_multiple,
            unreadable=self.unreadable,
        )
        self.ruling = deploy.judge(evidence, self.gate.objective)

    def verdict(self, deploy: Deploy, subject: Subject, started: datetime, window: timedelta) -> Verdict | None:
        if self.ruling is None:
            return None
        reading = self.readings[-1] if self.readings else None
        return Verdict(
            ruling=self.ruling,
            objective=self.gate.objective,
            subject=subject,
            weight=None if deploy.committed else deploy.reached,
            actual_percent=deploy.actual_percent,
            window=window,
            started=started,
            decided=reading.at if reading is not None and not self.unreadable else started + window,
            reading=reading,
            judge=deploy.judge.name,
        )

    @property
    def words(self) -> str:
        objective = self.gate.objective
        limit = f"limit {objective.show(objective.limit)}"
        if self.unreadable:
            return f"{objective.name}: no answer ({self.unreadable}), {limit}"
        reading = self.readings[-1] if self.readings else None
        if reading is None or reading.total is None:
            return f"{objective.name}: no data yet, {limit}"
        value = "no value yet" if reading.value is None else objective.show(reading.value)
        return f"{objective.name} {value} ({limit}), {reading.total:.0f} requests"


def _subject(deploy: Deploy) -> Subject:
    service = deploy.release.service
    if not deploy.ports.metrics.tells_versions_apart:
        return Subject(service=service)
    return Subject(service=service, template_hash=deploy.new_hash)


def _server_time(deploy: Deploy) -> tuple[datetime | None, str]:
    """Return the metrics server's now; None and the reason when it does not answer: the window waits for it."""
    try:
        return deploy.ports.metrics.now(), ""
    except RemoteError as error:
        return None, str(error)


def _passed(deploy: Deploy) -> None:
    if deploy.reached is not None:
        deploy.passed_weights.add(deploy.reached)


def _keep(deploy: Deploy, verdicts: Sequence[Verdict]) -> None:
    """Keep what was counted: later steps of the same digest are judged with it."""
    for verdict in verdicts:
        if verdict.reading is not None:
            deploy.earlier.setdefault(verdict.objective, []).append(verdict.reading)


def _allowed_multiple(deploy: Deploy) -> float | None:
    """Return how many times the limit the next weight may risk; None before the commitment and after it."""
    weights = [stage.weight for stage in deploy.stages]
    if deploy.committed or deploy.reached not in weights[:-1]:
        return None
    stage = deploy.stages[weights.index(deploy.reached) + 1]
    return allowed_multiple(stage.weight, stage.window or deploy.slo.window)


def _breach(verdict: Verdict) -> GateBreach:
    at = None if verdict.weight is None else f"{verdict.weight}%"
    return GateBreach(verdict.explanation, cause=verdict.ruling.cause or verdict.objective.name, at=at)
