"""The deploys of one pytest session: which are prepared, which runs, how each ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pytest_deploy.domain.event import ScenarioEnded, ScenarioStarted, StepEnded, StepStarted
from pytest_deploy.domain.outcome import Outcome, exit_status
from pytest_deploy.engine import canary, finish, gates
from pytest_deploy.engine.deploy import Deploy, Ending
from pytest_deploy.errors import DeployCancelled, DeployError, RollbackError

if TYPE_CHECKING:
    from pytest_deploy.signals import Signals

__all__ = ["Record", "Run", "Session"]

_LOG = logging.getLogger("pytest_deploy")


class Record(Protocol):
    """What writes the record of a deploy."""

    @property
    def problems(self) -> Sequence[str]:
        """What could not be written."""
        ...

    @property
    def last_line(self) -> str:
        """How it ended, in words, and where the note is."""
        ...


@dataclass(kw_only=True)
class Run:
    """One deploy feature of this session.

    Args:
        feature: as reports name it, ``features/x.feature``.
        open: makes the deploy and what writes its record, on the first step that needs it.
        wanted: node ids of its scenarios that are to run.
        place: turns a line of the feature into ``file:line``.
    """

    feature: str
    open: Callable[[], tuple[Deploy, Record]]
    wanted: set[str]
    place: Callable[[int], str]
    record: Record | None = None
    deploy: Deploy | None = None
    refused: BaseException | None = None
    passed: set[str] = field(default_factory=set)
    outcome: Outcome | None = None
    _step_began: float = 0.0

    def opened(self) -> Deploy:
        """Return the deploy, made on the first call; an error of making it is kept for the outcome."""
        if self.deploy is None:
            try:
                self.deploy, self.record = self.open()
            except BaseException as error:
                self.refused = error
                raise
        return self.deploy

    @property
    def over(self) -> str | None:
        """Why no further scenario may run; None while one may."""
        if self.refused is not None:
            return str(self.refused).splitlines()[0] if str(self.refused) else "the deploy could not begin"
        deploy = self.deploy
        if deploy is None:
            return None
        if deploy.drill and deploy.ended is not None and deploy.ended is not Ending.COMMITTED:
            return f"the drill has ended as expected: {deploy.ended.value}"
        if deploy.failure is not None and not deploy.drill:
            return f"'{deploy.failure.scenario}' stopped the deploy ({deploy.failure.cause})"
        if deploy.drill_failed:
            return "the drill has failed"
        return None

    def scenario_starts(self, title: str, line: int) -> None:
        """A scenario begins."""
        deploy = self.opened()
        deploy.scenario, deploy.step, deploy.place = title, "", self.place(line)
        deploy.moment(title)
        deploy.emit(ScenarioStarted(at=deploy.ports.clock.now(), title=title, place=deploy.place))

    def step_starts(self, keyword: str, text: str, line: int) -> None:
        """A step begins."""
        deploy = self.opened()
        deploy.step, deploy.place = f"{keyword} {text}", self.place(line)
        deploy.step_status, deploy.step_detail = "passed", ""
        self._step_began = deploy.ports.clock.monotonic()
        deploy.emit(StepStarted(at=deploy.ports.clock.now(), keyword=keyword, text=text, place=deploy.place))

    def step_ends(self, keyword: str, text: str, error: BaseException | None) -> None:
        """A step ended: well, or with an error that is kept as the deploy's failure."""
        deploy = self.opened()
        gates.plain_step(deploy, error)
        status, detail = deploy.step_status, deploy.step_detail
        if error is not None:
            status = "failed" if isinstance(error, AssertionError) else "broken"
            detail = str(error) or type(error).__name__
        took = timedelta(seconds=deploy.ports.clock.monotonic() - self._step_began)
        deploy.emit(
            StepEnded(
                at=deploy.ports.clock.now(),
                keyword=keyword,
                text=text,
                place=deploy.place,
                status=status,
                detail=detail,
                took=took,
            )
        )
        if error is not None:
            self.failed(error)
        deploy.step = ""

    def scenario_passed(self) -> None:
        """All steps of a scenario passed: where that completes the canary, it is committed now."""
        deploy = self.opened()
        deploy.step = "the commitment"
        canary.scenario_passed(deploy)
        deploy.step = ""

    def failed(self, error: BaseException) -> None:
        """A step, a team's fixture or the commitment failed."""
        deploy = self.deploy
        if deploy is None:
            self.refused = self.refused or error
            return
        if deploy.drill:
            deploy.drill_failed = True
        deploy.fail(error)

    def item_reported(self, nodeid: str, title: str, *, passed: bool, reason: str) -> None:
        """The call phase of a scenario ended."""
        if passed:
            self.passed.add(nodeid)
        if self.deploy is None:
            return
        deploy = self.deploy
        error = deploy.failure.error if deploy.failure else None
        status = "passed" if passed else ("failed" if isinstance(error, AssertionError) else "broken")
        deploy.all_passed = self.passed == self.wanted
        deploy.emit(ScenarioEnded(at=deploy.ports.clock.now(), title=title, status=status, reason=reason))

    def not_run(self, title: str, reason: str) -> None:
        """A scenario is not run because the deploy is over."""
        if self.deploy is not None:
            at = self.deploy.ports.clock.now()
            self.deploy.emit(ScenarioEnded(at=at, title=title, status="not run", reason=reason))

    def roll_back(self, signals: Signals) -> None:
        """Take back what is open after a failure; raises RollbackError, once: later calls do nothing then."""
        deploy = self.deploy
        if deploy is None or deploy.rollback_error is not None:
            return
        if deploy.failure is not None or signals.pending:
            signals.armed = False
            finish.roll_back(deploy)

    def close(self, signals: Signals) -> None:
        """End the deploy, whatever happened: undo what is open and say how it ended. Raises nothing."""
        deploy = self.deploy
        if deploy is None or self.outcome is not None:
            return
        signals.armed = False
        if signals.pending and deploy.failure is None and not deploy.reached_its_end:
            deploy.fail(DeployCancelled(signals.pending))
        try:
            finish.roll_back(deploy)
        except RollbackError as error:
            deploy.rollback_error = error
        except Exception as error:  # noqa: BLE001 - whatever it is, the outcome must be told
            _LOG.exception("the rollback broke")
            target = deploy.rollout_target()
            where = f"--context {target.context} --namespace {target.namespace}"
            deploy.rollback_error = RollbackError(
                f"the rollback broke: {error!r}",
                left_behind=("unknown",),
                commands=(f"kubectl {where} get rollouts.argoproj.io,replicasets,pods",),
            )
        try:
            self.outcome = finish.close(deploy)
        except Exception:  # noqa: BLE001 - the status says that its end is not known
            _LOG.exception("the end of the deploy broke")

    def last_lines(self) -> Iterator[str]:
        """Yield how it ended, in words, and where the note is."""
        if self.deploy is None:
            if self.refused is not None:
                words = {4: "REFUSED, nothing changed", 2: "INTERRUPTED, nothing had been changed"}
                yield f"deploy of {self.feature}: {words.get(self.status, 'INTERNAL ERROR, nothing changed')}"
            return
        if self.record is not None:
            yield from (f"deploy {self.deploy.id}: the record is not whole: {why}" for why in self.record.problems)
            yield self.record.last_line

    @property
    def status(self) -> int:
        """Its exit status; 0 for one that never began, never for one whose end is not known."""
        if self.outcome is not None:
            return self.outcome.status
        if self.deploy is not None:
            return 3 if self.deploy.rollback_error is None else Outcome.NEEDS_HUMAN.status
        if self.refused is None:
            return 0
        if isinstance(self.refused, DeployError):
            return Outcome.REFUSED.status
        return Outcome.INTERRUPTED_EARLY.status if isinstance(self.refused, DeployCancelled) else 3


@dataclass(kw_only=True)
class Session:
    """All deploys of one pytest session, by the path of their feature."""

    runs: dict[Path, Run] = field(default_factory=dict)
    features_not_collected: bool = False
    others_not_collected: bool = False

    def exit_status(self, of_pytest: int) -> int:
        """Return the session's exit status from pytest's own and from what became of the deploys.

        A deploy that was admitted and never began, because all its scenarios were skipped, is no success.

        Args:
            of_pytest: 1 where a test failed (a scenario's failure is one: ours says more), 2 where pytest was
                interrupted or could not collect, 3 where it broke, ...
        """
        if self.features_not_collected and not self.others_not_collected and of_pytest == 2:
            return 4
        if not self.runs:
            return of_pytest
        statuses = [run.status for run in self.runs.values()]
        unwritten = any(run.record is not None and run.record.problems for run in self.runs.values())
        ours = exit_status([*statuses, 3 if unwritten else 0])
        began = [run for run in self.runs.values() if run.deploy is not None or run.refused is not None]
        if ours == 0 or not began:
            return of_pytest or (0 if len(began) == len(self.runs) else 1)
        return exit_status([ours, of_pytest if of_pytest in {2, 3} else 0])
