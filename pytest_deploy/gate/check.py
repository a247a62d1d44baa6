"""``gate check --series``: a file of measurements, judged by a feature's gates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from pytest_deploy.adapters.series import Measurement, Series, Tape
from pytest_deploy.domain.measurement import Role, Subject
from pytest_deploy.errors import ConfigError
from pytest_deploy.gate.show import Shown
from pytest_deploy.replay import Judged, Plan, Setting, Window, replay

__all__ = ["check"]


def check(
    plan: Plan, series: Series, service: str, scrape_interval: timedelta, shown: Shown, *, only: int | None = None
) -> Iterator[Judged]:
    """Yield what the plan says of the series, window after window.

    Args:
        only: this weight's window alone; None: all of them.

    Raises:
        ConfigError: lines of the series are of a weight or a gate that the plan lacks.
    """
    problems, left_out = _unmatched(plan, series)
    if problems:
        raise ConfigError(problems, hint="name weights and gates as the feature does, or take the lines out")
    if left_out:
        names = ", ".join(sorted({each.gate for each in left_out}))
        shown.say(f"{len(left_out)} readings outside of the weights are left out, no gate here judges them: {names}")

    def setting(window: Window) -> Setting | None:
        if only is not None and window.weight != only:
            return None
        shown.begin(window)
        mine = series.of(window.weight, window.scenario)
        length = window.length / series.divisor
        tape = Tape(mine, scrape_interval, length, name=series.name)
        roles = {each.role for each in mine}
        return Setting(
            metrics=tape,
            clock=tape,
            canary=Subject(service=service, role=Role.SERVICE if Role.CANARY not in roles and roles else Role.CANARY),
            control=Subject(service=service, role=Role.STABLE) if Role.STABLE in roles else None,
            divisor=series.divisor,
            extends=tape.end > length + scrape_interval,
        )

    for judged in replay(plan, setting, shown):
        shown.end(judged)
        yield judged


def _unmatched(plan: Plan, series: Series) -> tuple[list[str], list[Measurement]]:
    """Return a problem for each weight and gate of the series that the plan lacks, and the lines that are left out.

    What a deploy measured outside of its weights (its error budget, say) is no mistake of anybody.
    """
    problems: dict[tuple[object, ...], str] = {}
    left_out: list[Measurement] = []
    for each in series.measurements:
        windows = [window for window in plan.windows if window.weight == each.weight]
        fitting = [window for window in windows if each.weight is not None or each.scenario in {"", window.scenario}]
        names = [gate.objective.name for window in fitting for gate in window.measured]
        if each.gate in names:
            continue
        if each.weight is None and (each.recorded or not windows):
            left_out.append(each)
        else:
            problems.setdefault((each.weight, each.gate), f"{each.place}: {_lacks(each, windows, names, plan)}")
    return list(problems.values()), left_out


def _lacks(each: Measurement, windows: Sequence[Window], names: Sequence[str], plan: Plan) -> str:
    if not windows:
        known = ", ".join(window.where for window in plan.windows)
        return f"weight: the feature has no weight {each.weight} %, only: {known}"
    where = windows[0].where if each.weight is None else f"at {windows[0].where}"
    return f"gate: the feature has no gate {each.gate!r} {where}, only: {', '.join(names) or 'none'}"
