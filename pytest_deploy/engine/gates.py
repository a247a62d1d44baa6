"""Gates of a live deploy: watched together, and what follows when one is not PASS."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_deploy.domain.event import Judged
from pytest_deploy.domain.journal import Milestone
from pytest_deploy.domain.measurement import Kind, Role, Subject
from pytest_deploy.domain.plan import Gate, multiple_before_next
from pytest_deploy.domain.policy import Answer
from pytest_deploy.domain.verdict import Ruling, Verdict, VerdictKind
from pytest_deploy.engine import canary, hold, windows
from pytest_deploy.engine import watch as watching
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.watch import Scene
from pytest_deploy.errors import DeployError, GateBreach

__all__ = ["check", "plain_step", "scene", "verdict_of_walk", "walk", "watch"]


def check(deploy: Deploy, gate: Gate, together: Sequence[Gate]) -> None:
    """Let one gate of a step speak; the first of those that stand together watches for all of them.

    A verdict that is not PASS is followed by what the policy declares for it. Where that is a person's decision,
    and the decision is to promote, the gate counts as passed, with who said so and why.

    Args:
        together: all gates of the step, this one included.

    Raises:
        GateBreach: its verdict is not PASS, and nobody overrode it.
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
    decision = deploy.overrides.get(gate)
    deploy.found(verdict.sentence if decision is None else f"{verdict.sentence}; {decision.words}")
    if not gate.dry_run and verdict.kind is not VerdictKind.PASS and decision is None:
        _follow(deploy, gate, verdict, together)
    _settle(deploy, together)


def watch(deploy: Deploy, gates: Sequence[Gate]) -> None:
    """Watch the gates over their longest window and keep each one's verdict in ``deploy.verdicts``.

    The section ``load`` of deploy.yaml, where there is one, sends its requests meanwhile.

    Raises:
        DeployError: there is no gate, or the rollout was moved by somebody else meanwhile.
        GateBreach: the canary's pods died.
    """
    measured = [gate for gate in gates if gate.objective.kind is not Kind.STEP]
    load = deploy.ports.load
    if load is not None:
        load.start(deploy.id)
    try:
        verdicts = watching.watch(measured, scene(deploy))
    finally:
        if load is not None:
            deploy.fact(f"load {'after promotion' if deploy.committed else f'at {deploy.reached} %'}", load.stop())
    deploy.verdicts.update(verdicts)
    for verdict in filter(None, verdicts.values()):
        deploy.tx.milestone(Milestone.JUDGED, observed=verdict.sentence)
        if verdict.reading is not None:
            deploy.earlier.setdefault(verdict.objective, []).append(verdict.reading)
        if verdict.control:
            deploy.earlier_control[verdict.objective] = verdict.control[-1]


def scene(deploy: Deploy) -> Scene:
    """Return where the deploy's gates are watched now: whose requests, at which weight, against which control."""
    weight = None if deploy.committed else deploy.reached
    canary_subject, control = _subjects(deploy)
    return Scene(
        metrics=deploy.ports.metrics,
        clock=deploy.ports.clock,
        judge=deploy.judge,
        policy=deploy.policy,
        emit=deploy.emit,
        canary=canary_subject,
        control=None if weight in {None, 100} else control,
        weight=weight,
        actual_percent=deploy.actual_percent,
        divisor=deploy.limits.window_divisor,
        earlier=deploy.earlier,
        earlier_control=deploy.earlier_control,
        allowed_multiple=multiple_before_next(deploy.stages, weight, deploy.slo.window),
        scripts=deploy.ports.scripts,
        between=lambda: canary.watched(deploy),
        moment=lambda name: deploy.moment(f"{name} at {deploy.reached}%"),
    )


def plain_step(deploy: Deploy, error: BaseException | None) -> None:
    """Take in how a team's own Then step ended, where one stands as a gate after a weight.

    Args:
        error: what it raised; None: it passed, and its numbers are unknown.
    """
    if deploy.committed or (error is not None and not isinstance(error, AssertionError)):
        return
    for stage in deploy.stages:
        for gate in stage.gates:
            if gate.objective.kind is Kind.STEP and (gate.place, gate.scenario) == (deploy.place, deploy.scenario):
                _stated(deploy, gate, str(error) if error is not None else None)
                _settle(deploy, stage.gates)


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


def _follow(deploy: Deploy, gate: Gate, verdict: Verdict, together: Sequence[Gate]) -> None:
    """Do what the policy declares for a verdict that is not PASS; in business hours a failing deploy goes back."""
    if not deploy.policy.response(verdict.kind).holds:
        raise _breach(verdict)
    if no_forward := windows.must_go_back(deploy, verdict):
        raise _breach(verdict, no_forward)
    for other in together:
        worse = deploy.verdicts.get(other)
        if worse is not None and not other.dry_run and not _may_go_on(deploy, worse):
            deploy.found(f"{verdict.sentence}; nobody is asked, as this is taken back: {worse.sentence}")
            return
    decision = hold.decide(deploy, gate, verdict)
    if decision is None or decision.answer is Answer.ABORT:
        why = "nobody decided in time" if decision is None else decision.words
        raise _breach(verdict, why)
    for other in together:
        held = deploy.verdicts.get(other)
        if held is not None and not other.dry_run and (no_forward := windows.must_go_back(deploy, held)):
            raise _breach(held, f"{decision.words}; but meanwhile it is so: {no_forward}")
    for other in together:
        held = deploy.verdicts.get(other)
        if held is not None and held.kind is not VerdictKind.PASS and not other.dry_run:
            deploy.overrides[other] = decision
    deploy.found(f"{verdict.sentence}; {decision.words}")


def _may_go_on(deploy: Deploy, verdict: Verdict) -> bool:
    if verdict.kind is VerdictKind.PASS:
        return True
    return deploy.policy.response(verdict.kind).holds and not windows.must_go_back(deploy, verdict)


def _settle(deploy: Deploy, together: Sequence[Gate]) -> None:
    """Count the weight as passed once each of its gates has: by PASS, or by a person's decision."""
    blocking = [gate for gate in together if not gate.dry_run]
    verdicts = {gate: deploy.verdicts.get(gate) for gate in blocking}
    passed = all(
        verdict is not None and (verdict.kind is VerdictKind.PASS or gate in deploy.overrides)
        for gate, verdict in verdicts.items()
    )
    if blocking and passed and deploy.reached is not None:
        deploy.passed_weights.add(deploy.reached)


def _stated(deploy: Deploy, gate: Gate, error: str | None) -> None:
    now = deploy.ports.clock.now()
    kind = VerdictKind.PASS if error is None else VerdictKind.FAIL
    verdict = Verdict(
        ruling=Ruling(kind=kind, rule=error or "the team's own step passed"),
        objective=gate.objective,
        subject=scene(deploy).canary,
        weight=deploy.reached,
        actual_percent=deploy.actual_percent,
        window=gate.window,
        started=now,
        decided=now,
        reading=None,
        judge="a plain step",
        scenario=gate.scenario,
        place=gate.place,
    )
    deploy.verdicts[gate] = verdict
    deploy.found(verdict.sentence)
    deploy.tx.milestone(Milestone.JUDGED, observed=verdict.sentence)
    deploy.emit(Judged(at=now, verdict=verdict))


def _subjects(deploy: Deploy) -> tuple[Subject, Subject | None]:
    """Return whose requests are judged, and the stable version beside it where the series tell them apart."""
    env, service = deploy.environment, deploy.release.service
    good = deploy.known_good

    def of(role: Role, template_hash: str | None) -> Subject:
        return Subject(
            service=service, template_hash=template_hash, role=role, workload=env.rollout, namespace=env.namespace
        )

    if not deploy.ports.metrics.tells_versions_apart or deploy.new_hash is None:
        return of(Role.SERVICE, None), None
    stable = None if good is None else of(Role.STABLE, good.template_hash)
    return of(Role.CANARY, deploy.new_hash), stable


def _breach(verdict: Verdict, why: str = "") -> GateBreach:
    at = None if verdict.weight is None else f"{verdict.weight}%"
    text = f"{verdict.explanation}\n  held:    {why}" if why else verdict.explanation
    return GateBreach(text, cause=verdict.ruling.cause or verdict.objective.name, at=at)
