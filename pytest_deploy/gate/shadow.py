"""``gate check --watch``: the service that runs now, judged by a feature's gates; nothing is written or decided."""

from __future__ import annotations

from pytest_deploy.domain.measurement import Subject
from pytest_deploy.domain.release import Environment
from pytest_deploy.errors import ConfigError
from pytest_deploy.gate.provider import Provider
from pytest_deploy.gate.show import Shown
from pytest_deploy.replay import Judged, Plan, Setting, Window, judge_window, subjects

__all__ = ["shadow"]


def shadow(
    plan: Plan, service: str, environment: Environment, weight: int | None, provider: Provider, shown: Shown
) -> Judged:
    """Watch one window as a deploy at that weight would, and return what it would say.

    The newest version is judged and, while two run, the stable one beside it is its control.

    Args:
        weight: whose gates; None: the last weight's.

    Raises:
        ConfigError: the plan has no such weight.
        DeployError: the metrics can't be read at all.
    """
    window = _window(plan, weight)
    state, why = provider.state()
    new_hash = stable_hash = None
    if state is not None and provider.metrics.tells_versions_apart:
        new_hash = state.current_hash or None
        stable_hash = None if state.promoted else state.stable_hash
    canary, control = subjects(service, environment, new_hash, stable_hash)
    for line in _introduction(canary, control, why):
        shown.say(line)
    shown.begin(window)
    setting = Setting(
        metrics=provider.metrics,
        clock=provider.clock,
        canary=canary,
        control=control,
        actual_percent=None if state is None else state.weight_percent,
    )
    judged = judge_window(plan, window, setting, shown, earlier={}, earlier_control={})
    shown.end(judged)
    return judged


def _window(plan: Plan, weight: int | None) -> Window:
    windows = {window.weight: window for window in plan.windows if window.weight is not None}
    chosen = windows.get(plan.stages[-1].weight if weight is None else weight)
    if chosen is None:
        known = ", ".join(f"{known} %" for known in windows)
        raise ConfigError([f"--weight {weight}: the feature has no such weight, only: {known}"])
    return chosen


def _introduction(canary: Subject, control: Subject | None, why: str) -> list[str]:
    lines = [f"shadowing {canary.words}; nothing is written or decided"]
    if control is not None:
        lines.append(f"beside it, as control: {control.words}")
    if why:
        lines.append(f"which versions run is not known: {why}")
    return lines
