"""What is wrong with the gates of a feature, found before anything is contacted: each with its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pytest_deploy.domain.judge import RuleBook
from pytest_deploy.domain.measurement import Kind, Objective
from pytest_deploy.domain.plan import Gate, Stage
from pytest_deploy.domain.quantity import format_duration

__all__ = ["Terms", "gate_problems", "stage_problems"]

_LEAST_SCRAPES = 2
"""A rate needs two samples; a shorter window could never hold a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What deploy.yaml and the options say that gates must fit.

    Args:
        divisor: windows are this many times shorter.
        units: of each query that a gate may name.
    """

    scrape_interval: timedelta
    divisor: float
    judge: RuleBook
    tells_versions_apart: bool
    units: Mapping[str, str]


def stage_problems(stages: Sequence[Stage], *, drill: bool) -> Iterator[str]:
    """Yield what is wrong with the weights: none that nothing judges, each once, rising to 100."""
    for stage in stages:
        if drill:
            break
        if not stage.gates:
            yield (
                f"{stage.place}: {stage.weight} % has no gate: a step that nothing judges can't pass; "
                "let Then for <window> the error rate stays at or below <limit> follow"
            )
        elif all(gate.dry_run for gate in stage.gates):
            yield f"{stage.place}: {stage.weight} % has dry-run gates only: nothing could stop it; let one gate block"
    weights = [stage.weight for stage in stages]
    if weights != sorted(set(weights)):
        shown = ", ".join(f"{weight}%" for weight in weights)
        yield f"{stages[0].place}: the canary's weights must rise, each once: {shown}"
    if weights and weights[-1] != 100 and not drill:
        yield f"{stages[-1].place}: the last weight is {weights[-1]}%: the commitment follows 100% only"


def gate_problems(stages: Sequence[Stage], terms: Terms) -> Iterator[str]:
    """Yield each gate that can't be judged, or that contradicts another one."""
    for index, stage in enumerate(stages):
        for gate in stage.gates:
            for problem in (*_limits(gate.objective, terms), *_window(gate, terms)):
                yield f"{gate.place}: {gate.objective.name} at {stage.weight} %: {problem}"
        for problem in (*_doubles(stage), *_moot(stage), *_without_control(stage, terms, first=index == 0)):
            yield problem


def _limits(objective: Objective, terms: Terms) -> Iterator[str]:
    if objective.kind is Kind.QUERY:
        yield from _units(objective, terms)
    if objective.relative or objective.kind not in {Kind.ERROR_RATE, Kind.AVAILABILITY}:
        return
    if objective.limit >= 1:
        yield f"a limit of {objective.show(objective.limit)} holds for everything: no canary could break it"
    elif objective.limit <= 0 and terms.judge is RuleBook.EVIDENCE:
        yield (
            f"no number of requests proves {objective.show(objective.limit)}: name an error budget above 0, "
            "or let gate.judge be contract"
        )


def _units(objective: Objective, terms: Terms) -> Iterator[str]:
    if objective.subject not in terms.units:
        known = ", ".join(f'"{name}"' for name in terms.units)
        yield f'there is no query "{objective.subject}": name it in metrics.queries of deploy.yaml; known: {known}'
        return
    unit = terms.units[objective.subject]
    if unit != objective.unit:
        asked, has = objective.unit or "no unit", unit or "no unit"
        yield f"the limit has {asked}, the query {has}: write the limit in the query's unit"


def _window(gate: Gate, terms: Terms) -> Iterator[str]:
    if gate.objective.kind in {Kind.STEP, Kind.SCRIPT}:
        return
    least = terms.scrape_interval * _LEAST_SCRAPES
    watched = gate.window / terms.divisor
    if watched < least:
        shortened = f" ({format_duration(gate.window)}, {terms.divisor:g} times shorter)" if terms.divisor > 1 else ""
        yield (
            f"a window of {format_duration(watched)}{shortened} holds less than two scrapes of "
            f"{format_duration(terms.scrape_interval)}: nothing could be read; at least {format_duration(least)}"
        )


def _doubles(stage: Stage) -> Iterator[str]:
    names: dict[str, Gate] = {}
    for gate in stage.gates:
        objective = gate.objective
        # An availability is an error rate told the other way round: two limits of one thing contradict each other.
        name = objective.name.replace(Kind.AVAILABILITY, Kind.ERROR_RATE)
        if name in names and objective.kind is not Kind.STEP:
            other = names[name]
            yield f"{gate.place}: a second gate for the {name} at {stage.weight} %; the first is {other.place}"
        names.setdefault(name, gate)


def _moot(stage: Stage) -> Iterator[str]:
    """Yield each quantile whose limit a higher quantile's stricter one already holds."""
    latencies = [g for g in stage.gates if g.objective.kind is Kind.LATENCY and not g.objective.relative]
    for gate in latencies:
        for other in latencies:
            low, high = gate.objective, other.objective
            if (low.quantile or 0) < (high.quantile or 0) and low.limit > high.limit:
                yield (
                    f"{gate.place}: {low.name} <= {low.show(low.limit)} contradicts {high.name} <= "
                    f"{high.show(high.limit)} at {stage.weight} % ({other.place}): the higher quantile has the "
                    "lower limit"
                )


def _without_control(stage: Stage, terms: Terms, *, first: bool) -> Iterator[str]:
    for gate in stage.gates:
        if not gate.objective.relative:
            continue
        if not terms.tells_versions_apart:
            yield (
                f"{gate.place}: {gate.objective.name} needs series of each version: set metrics.prometheus."
                "version_label (or pod_label, or canary_labels and stable_labels)"
            )
        elif first and stage.weight == 100:
            yield (
                f"{gate.place}: {gate.objective.name} has nothing to be compared with: at 100 % no stable pods are "
                "left, and no step before it has seen them; let a smaller weight come first"
            )
