"""Runs the checks of pre-flight: each one once, and when one fails all the others, so that all is told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sized
from typing import TypeAlias

from pytest_deploy.engine import turn
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.errors import DeployError, GateBreach, LockHeld, Refused, Unreachable, blamed_on

__all__ = ["SECTIONS", "Check", "Checks", "asked"]

Check: TypeAlias = "Callable[[Deploy], None]"
Failure: TypeAlias = "GateBreach | DeployError"

SECTIONS = ("incidents", "checklist")
"""Of deploy.yaml: what pre-flight asks of other tools."""


class Checks:
    """The checks by name, in their order; ``Deploy.checked`` says which have run.

    Args:
        elsewhere: those that do not ask the cluster, and are asked even where it is the wrong one.
        too_slow: those that may wait for a minute, and are left out once another has failed.
    """

    def __init__(self, checks: Mapping[str, Check], *, elsewhere: frozenset[str], too_slow: frozenset[str]) -> None:
        self._checks = checks
        self._elsewhere = elsewhere
        self._too_slow = too_slow

    def run(self, deploy: Deploy, *names: str) -> None:
        """Run those of them that have not run yet, and say what they found.

        Raises:
            GateBreach, DeployError: with what all other checks found.
        """
        found = []
        for name in names:
            if name not in deploy.checked:
                deploy.found("")
                self.run_own(deploy, name, self._checks[name])
                found.append(deploy.step_detail)
        deploy.found("; ".join(filter(None, found)))

    def run_own(self, deploy: Deploy, name: str, check: Check) -> None:
        """Run one check; raises as ``run``."""
        deploy.checked.add(name)
        try:
            check(deploy)
        except (GateBreach, DeployError) as error:
            if deploy.tx.opened or deploy.committed:
                raise  # it is a gate by now: something was changed, and the way back must not wait
            told = _all_told([error, *self._others(deploy, error, name)], deploy.warned, self._left(deploy))
            if told is error:
                raise
            raise told from error

    def _left(self, deploy: Deploy) -> list[str]:
        """Name the checks that could not be made."""
        return (
            []
            if _kept_elsewhere(deploy)
            else [name for name in self._checks if name not in deploy.checked | self._too_slow]
        )

    def _others(self, deploy: Deploy, first: Failure, failed: str) -> Iterator[Failure]:
        """Run what has not run yet, and yield what fails.

        Nothing is waited for, and no dead deploy recovered any more: this one ends here. What the cluster would have
        to tell is left out where it is the wrong one, or does not answer.
        """
        blind, skip = _blind(failed, first) or _kept_elsewhere(deploy), set(self._too_slow)
        bound = self._checks.keys() - self._elsewhere
        skip |= bound if blind else set()
        held = [] if blind or isinstance(first, LockHeld) or "lock" in deploy.checked else list(_held(deploy))
        deploy.checked.add("lock")
        yield from held
        if held or isinstance(first, LockHeld):
            skip |= {"stack", "release"}  # it is the other deploy that keeps them from resting
        for name, check in self._checks.items():
            if name in deploy.checked | skip:
                continue
            deploy.checked.add(name)
            try:
                check(deploy)
            except (GateBreach, DeployError) as error:
                skip |= bound if _blind(name, error) else set()
                yield error
        for section in SECTIONS:
            if section not in deploy.checked and section in deploy.ports.capabilities:
                deploy.checked.add(section)
                try:
                    asked(deploy, section)
                except (GateBreach, DeployError) as error:
                    yield error


def _kept_elsewhere(deploy: Deploy) -> bool:
    """Whether a commit is all that this deploy makes, so that it need not reach the cluster at all."""
    gitops = deploy.ports.gitops
    return gitops is not None and gitops.covers(deploy.environment.name)


def _blind(name: str, error: Failure) -> bool:
    return name == "cluster" or isinstance(error, Unreachable)


def asked(deploy: Deploy, section: str) -> None:
    """Ask what the feature has not asked (yet), of the service's own tag; raises as the capability does."""
    service = deploy.release.service
    with blamed_on(section):
        deploy.found_all(
            deploy.ports.capabilities[section](f"service:{service}" if section == "incidents" else service)
        )


def _held(deploy: Deploy) -> Iterator[Failure]:
    try:
        turn.look(deploy)
    except DeployError as error:
        yield error


def _all_told(failures: list[Failure], warned: list[str], left: list[str]) -> Failure:
    """Return one error that tells all: what refuses, then what gave no answer, then the warnings.

    It is the first one itself, where that was all.
    """
    first = failures[0]
    different = {str(each): each for each in failures}  # several checks may miss the same thing
    if len(different) == 1 and not warned:
        return first
    told = sorted(different.values(), key=lambda each: not isinstance(each, GateBreach | Refused | LockHeld))
    lines = [f"pre-flight: {_count(told, 'refusal')}, {_count(warned, 'warning')}"]
    lines += [f"  {number}. {_indented(str(each))}" for number, each in enumerate(told, 1)]
    lines += [f"  warning: {_indented(text)}" for text in warned]
    if left:
        lines.append(f"  not looked at, for want of an answer: {', '.join(left)}")
    text = "\n".join(lines)
    attachments = [each for error in failures for each in error.attachments]
    if isinstance(first, GateBreach):
        return GateBreach(text, cause=first.cause, attachments=attachments)
    return Refused(
        text,
        hint="mend all of these, then deploy again: nothing was changed",
        cause=first.cause or (None if isinstance(first, Refused) else type(first).__name__),
        attachments=attachments,
    )


def _count(of: Sized, what: str) -> str:
    return f"{len(of)} {what}{'' if len(of) == 1 else 's'}"


def _indented(text: str) -> str:
    return text.replace("\n", "\n     ")
