"""Progress on the terminal: a line a step; while something is waited for, what, how it stands, and what is left."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pytest_deploy.domain.event import (
    ActionFailed,
    ActionStarted,
    Decided,
    DeployStarted,
    Event,
    Held,
    Judged,
    Looked,
    PlanMade,
    RollbackEnded,
    RollbackStarted,
    ScenarioEnded,
    ScenarioStarted,
    StepEnded,
    StepStarted,
    Stopped,
    Waited,
    Warned,
    WeightReached,
)
from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.quantity import format_duration
from pytest_deploy.report.text import plain

__all__ = ["Console"]

_HEARTBEAT = timedelta(seconds=30)
_REHEARSED_HEARTBEAT = timedelta(minutes=2)
"""Nobody waits for a virtual clock: a look or two at each gate are enough there."""
_STATUS_WIDTH = len("passed")
_REDRAW = timedelta(seconds=1)
_RED, _GREEN, _YELLOW, _BOLD = "31", "32", "33", "1"
_COLORS = {"passed": _GREEN, "failed": _RED, "broken": _RED, "off": _YELLOW}
_CLEAR = "\r\x1b[2K"


class Console:
    """Shows events as they come; while something is waited for, at most each 30 s of the deploy's own time.

    Args:
        write: takes text as it is, line ends included.
        tty: a person looks at it: waiting redraws one line, each second.
        width: columns; the redrawn line is cut to it.
        color: statuses are coloured (the caller has asked ``NO_COLOR``).
    """

    def __init__(self, write: Callable[[str], None], *, tty: bool, width: int = 100, color: bool = False) -> None:
        self._write = write
        self._tty = tty
        self._width = max(width, 40)
        self._color = color
        self._tag = ""
        self._held = ""
        self._every = _REDRAW if tty else _HEARTBEAT
        self._drawn = False
        self._said: datetime | None = None
        self._shown_detail = ""

    def __call__(self, event: Event) -> None:  # noqa: C901, PLR0912 - one flat dispatch over the events
        """Show an event; what is not worth a line is passed over."""
        match event:
            case DeployStarted():
                self._started(event)
            case PlanMade():
                self.line(f"{self._tag}plan:")
                for line in event.lines:
                    self.line(f"  {plain(line)}")
            case ScenarioStarted():
                self.line(self._paint(event.title, _BOLD))
            case ScenarioEnded() if event.status == "not run":
                self.line(f"{plain(event.title)}: {self._paint('not run', _YELLOW)}, {plain(event.reason)}")
            case StepStarted():
                self._said = event.at
                self._draw(f"  ...      {event.keyword} {event.text}")
            case StepEnded():
                self._step(event)
            case ActionStarted():
                self._said = event.at
                self.line(f"    sent: {plain(event.action.summary)}")
            case ActionFailed():
                self.line(f"    {self._paint('FAILED', _RED)}: {plain(event.error.partition(chr(10))[0])}")
            case Waited():
                self._beat(event.at, f"{self._held}waiting for {event.what}: {event.seen}", event.left)
            case Looked():
                self._beat(event.at, "; ".join(event.lines), event.left)
            case WeightReached() if event.final:
                self.line(f"    {self._paint('committed', _GREEN)}: {plain(event.state.words)}")
            case Held():
                self._hold(event)
            case Decided():
                self._held = ""
                self.line(f"{self._tag}{self._paint('DECIDED', _YELLOW)}: {plain(event.decision.words)}")
            case Judged() if event.verdict.dry_run:
                said = plain(event.verdict.sentence).removeprefix("DRY RUN: ")
                self.line(f"    {self._paint('DRY RUN', _YELLOW)}, blocks nothing: {said}")
            case Warned():
                self.line(f"    {self._paint('warning', _YELLOW)}: {plain(event.text)}")
            case Stopped():
                self._stopped(event)
            case RollbackStarted() | RollbackEnded():
                self._rollback(event)
            case _:
                pass

    def line(self, text: str) -> None:
        """Write one whole line in the place of what was drawn; ``text`` is clean already."""
        self._write(f"{_CLEAR if self._drawn else ''}{text}\n")
        self._drawn = False

    def _started(self, event: DeployStarted) -> None:
        if event.mode is Mode.REHEARSAL and not self._tty:
            self._every = _REHEARSED_HEARTBEAT
        if event.mode is not Mode.REAL:
            speed = f", windows {event.window_divisor:g} times shorter" if event.window_divisor != 1 else ""
            self._tag = f"[{event.mode.upper()}{speed}] "
        self.line(self._paint(f"{self._tag}deploy {event.deploy_id}", _BOLD))
        self.line(
            _indented(
                f"  {event.service} to {event.environment} ({event.context}/{event.namespace}), {event.strategy}, "
                f"{event.image}, commit {(event.commit or 'none')[:12]}"
            )
        )

    def _step(self, event: StepEnded) -> None:
        detail = plain(event.detail, lines=True)
        first, _, rest = detail.partition("\n")
        took = f" ({format_duration(event.took)})" if event.took >= timedelta(seconds=1) else ""
        said = f": {first}" if first else ""
        self.line(f"  {self._status(event.status)} {plain(f'{event.keyword} {event.text}')}{took}{said}")
        for line in rest.splitlines():
            self.line(f"           {line}")
        self._shown_detail = event.detail

    def _stopped(self, event: Stopped) -> None:
        again = event.reason == self._shown_detail
        reason = "" if again else f": {plain(event.reason.partition(chr(10))[0])}"
        self.line(f"  {self._paint('stopped', _RED)} by {plain(event.cause)} at {plain(event.place)}{reason}")

    def _hold(self, event: Held) -> None:
        """A line that is overlooked costs half an hour, and then the deploy: so it is a block of its own."""
        self._said = event.at
        self._held = f"HELD {event.verdict.where}, "
        until = (
            f"{event.deadline.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, in {format_duration(event.deadline - event.at)}"
        )
        rule = "=" * min(self._width - 1, 78)
        self.line(rule)
        self.line(f"{self._tag}{self._paint('HELD, A PERSON MUST DECIDE', _YELLOW)}: {plain(event.verdict.sentence)}")
        self.line(f"    without a decision it is rolled back at {until}")
        self.line(f"    decide with: {plain(event.command)}")
        self.line(rule)

    def _rollback(self, event: RollbackStarted | RollbackEnded) -> None:
        self._said = event.at
        self._held = ""
        if isinstance(event, RollbackStarted):
            head = self._paint("ROLLING BACK", _YELLOW)
            self.line(f"{self._tag}{head}: {plain(event.target)}, because of {plain(event.cause)}")
            return
        took = format_duration(event.took)
        if not event.error:
            back = f", traffic back after {format_duration(event.traffic_back)}" if event.traffic_back else ""
            self.line(f"{self._tag}{self._paint('ROLLED BACK', _GREEN)}, verified after {took}{back}")
            for line in event.verified:
                self.line(f"    {plain(line)}")
            return
        self.line(f"{self._tag}{self._paint('ROLLBACK FAILED', _RED)} after {took}: {plain(event.error)}")
        for line in event.left_behind:
            self.line(f"    left behind: {plain(line)}")
        for line in event.commands:
            self.line(f"    run next: {plain(line)}")

    def _beat(self, at: datetime, text: str, left: timedelta) -> None:
        if self._said is not None and at - self._said < self._every:
            return
        self._said = at
        shown = f"    {text}, {format_duration(timedelta(seconds=round(left.total_seconds())))} left"
        if self._tty:
            self._draw(shown)
        else:
            self.line(_indented(shown))

    def _draw(self, text: str) -> None:
        if self._tty:
            self._write(f"{_CLEAR}{self._cut(text)}")
            self._drawn = True

    def _cut(self, text: str) -> str:
        clean = _indented(text)
        return clean if len(clean) < self._width else f"{clean[: self._width - 4]}..."

    def _status(self, status: str) -> str:
        shown = status if status == "passed" else status.upper()
        return self._paint(shown, _COLORS.get(status, _YELLOW)) + " " * (_STATUS_WIDTH - len(shown))

    def _paint(self, text: str, color: str) -> str:
        clean = plain(text)
        return f"\x1b[{color}m{clean}\x1b[0m" if self._color else clean


def _indented(text: str) -> str:
    """Return the text as one clean line that keeps the spaces it begins with."""
    return " " * (len(text) - len(text.lstrip(" "))) + plain(text)
