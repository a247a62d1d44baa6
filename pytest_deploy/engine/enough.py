"""Before anything is changed: will the canary have requests enough for its gates to say anything?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from pytest_deploy.domain.judge import Contract
from pytest_deploy.domain.measurement import Kind, Objective
from pytest_deploy.domain.plan import Gate, Stage, multiple_before_next
from pytest_deploy.domain.power_check import PlannedStep, StepPower
from pytest_deploy.domain.power_check import check as power_of
from pytest_deploy.domain.verdict import VerdictKind
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.measurable import stable
from pytest_deploy.errors import MeasurementError, Refused, RemoteError

__all__ = ["check", "least"]

_LOOK_BACK = timedelta(minutes=5)
_FRESH_SCRAPES = 4
"""Scrapes of a rate that is measured anew, before a deploy is refused for it: a service that was installed just now
has no five minutes to look back on."""


def check(deploy: Deploy) -> None:
    """Check that each step will have the requests that its gates need, at the rate of the last minutes.

    A step that will have too few for a version at half its limit is warned of, with the window that would do. Where
    a section ``load`` brings requests of its own, nothing is refused: its rate is not known.

    Raises:
        Refused: not even zero errors could pass a step, the second window that the policy gives included.
    """
    objectives = dict.fromkeys(g.objective for s in deploy.stages for g in s.gates if g.objective.counted)
    provable = [each for each in objectives if 0 < each.bad_limit_ratio < 1]
    if not provable:
        return
    rate_per_s = _rate(deploy, _LOOK_BACK)
    if rate_per_s is None or _doubtful(deploy, provable, rate_per_s):
        rate_per_s = _measured_anew(deploy)
    if rate_per_s is None:
        deploy.warn("how many requests the canary will have is not known: the service's rate could not be read")
        return
    for text in dict.fromkeys(_words(deploy, provable, rate_per_s)):
        deploy.warn(text)
    hopeless = list(dict.fromkeys(_hopeless(deploy, provable, rate_per_s)))
    if hopeless and deploy.ports.load is None:
        raise Refused(
            f"at {_shown(rate_per_s)} requests/s these gates could never pass:\n" + "\n".join(hopeless),
            hint="give longer windows (until N requests, at most ...), larger first weights, or a load section",
            cause="too few requests",
        )
    deploy.found(f"every gate finds its metrics; {_shown(rate_per_s)} requests/s to the service")


def least(deploy: Deploy, objective: Objective, stage: Stage) -> int | None:
    """Return how many requests, with those of the steps before, a gate takes at a stage, if not one of them is bad.

    None: it rests on no requests, or no number of them proves its limit.
    """
    if not objective.counted or not 0 < objective.bad_limit_ratio < 1:
        return None
    return next(
        (power.least for found, power in _steps(deploy, objective, rate_per_s=0.0) if found.weight == stage.weight),
        None,
    )


def _doubtful(deploy: Deploy, objectives: list[Objective], rate_per_s: float) -> bool:
    return any(not step.enough for each in objectives for _, step in _steps(deploy, each, rate_per_s))


def _words(deploy: Deploy, objectives: list[Objective], rate_per_s: float) -> Iterator[str]:
    for objective in objectives:
        for stage, step in _steps(deploy, objective, rate_per_s):
            if not step.enough:
                yield f"{stage.place}: {objective.name} {step.words}"


def _hopeless(deploy: Deploy, objectives: list[Objective], rate_per_s: float) -> Iterator[str]:
    windows = 2 if deploy.policy.response(VerdictKind.INCONCLUSIVE).extends else 1
    for objective in objectives:
        for stage, step in _steps(deploy, objective, rate_per_s, windows=windows):
            if step.hopeless:
                yield f"{stage.place}: {objective.name} {step.words}"


def _steps(
    deploy: Deploy, objective: Objective, rate_per_s: float, *, windows: int = 1
) -> Iterator[tuple[Stage, StepPower]]:
    """Yield what the objective's gate can tell at each stage that has one."""
    found: list[Stage] = []
    planned: list[PlannedStep] = []
    for stage in deploy.stages:
        gate = next((g for g in stage.gates if g.objective == objective), None)
        if gate is None:
            continue
        found.append(stage)
        planned.append(
            PlannedStep(
                weight=stage.weight,
                requests=_requests(deploy, stage, gate, rate_per_s) * windows,
                window=stage.window,
                allowed_multiple=multiple_before_next(deploy.stages, stage.weight, deploy.slo.window),
            )
        )
    judge = deploy.judge
    least = judge.min_requests if isinstance(judge, Contract) else None
    if objective.relative and objective.quantile is not None:
        least = Contract().min_requests
    power = power_of(planned, objective.bad_limit_ratio, min_requests=least, pooled=not objective.relative)
    yield from zip(found, power, strict=True)


def _requests(deploy: Deploy, stage: Stage, gate: Gate, rate_per_s: float) -> float:
    """Return about how many the judged pods will have in the window; all of the service's where it can't be told."""
    share = stage.weight / 100 if deploy.ports.metrics.tells_versions_apart else 1.0
    window = stage.window / deploy.limits.window_divisor
    by_time = rate_per_s * share * window.total_seconds()
    return by_time if gate.requests is None else min(by_time, float(gate.requests))


def _shown(rate_per_s: float) -> str:
    return f"{rate_per_s:,.0f}" if rate_per_s >= 10 else f"{rate_per_s:.2g}"


def _measured_anew(deploy: Deploy) -> float | None:
    wait = deploy.ports.metrics.scrape_interval * _FRESH_SCRAPES
    deploy.ports.clock.sleep(wait)
    return _rate(deploy, wait)


def _rate(deploy: Deploy, back: timedelta) -> float | None:
    """Return the service's requests in a second over the last time; None where there is no answer, or none came.

    Before a deploy the version that runs has them all, and only its queries can name a version.
    """
    metrics = deploy.ports.metrics
    try:
        since = metrics.now() - back
        reading = metrics.read(Objective(kind=Kind.ERROR_RATE, limit=0.5), stable(deploy), since)
    except (RemoteError, MeasurementError):
        return None
    seconds = (reading.at - since).total_seconds()
    return reading.total / seconds if reading.total and seconds > 0 else None
