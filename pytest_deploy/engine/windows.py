"""The team's calendar, kept: nothing is deployed in a freeze, and in business hours nothing is mended forward."""

from __future__ import annotations

from datetime import timedelta

from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.quantity import format_duration
from pytest_deploy.domain.verdict import Verdict, VerdictKind
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.errors import Refused

__all__ = ["must_go_back", "not_frozen"]


def not_frozen(deploy: Deploy) -> None:
    """Check that no freeze is in force, and that none begins while the deploy's gates would still watch.

    A rehearsal changes nothing, so it is only told.

    Raises:
        Refused: one is, with when it ends; nothing was changed.
    """
    windows, now = deploy.windows, deploy.ports.clock.now()
    planned = sum((stage.window for stage in deploy.stages), timedelta()) / deploy.limits.window_divisor
    span = windows.frozen(now, planned)
    if span is None:
        deploy.found("no freeze is in force" if windows.freeze else "deploy.yaml names no freeze")
        return
    begins = "is in force" if span.begin <= now else f"begins within the {format_duration(planned)} this deploy takes"
    text = f"a freeze {begins}: {span.words(windows.zone)}; now it is {now.astimezone(windows.zone):%a %H:%M %Z}"
    if deploy.mode is Mode.REHEARSAL:
        deploy.warn(f"{text}: a real deploy would be refused")
        deploy.found(f"{text}; rehearsed all the same")
        return
    thaw = windows.thaw(now, planned)
    when = "none within a year" if thaw is None else f"{thaw.astimezone(windows.zone):%a %Y-%m-%d %H:%M %Z}"
    raise Refused(
        f"{text}. The next time that is free: {when}",
        hint="wait until then; an emergency is let through by whoever answers for it, for this one deploy: "
        "--deploy-set windows.freeze=[]",
        cause="freeze",
    )


def must_go_back(deploy: Deploy, verdict: Verdict) -> str:
    """Return why a failing deploy is rolled back whatever the policy or a person says; "" where it need not be.

    In business hours the most users are hurt, and the most people are there to want "just one more fix".
    """
    if verdict.kind is not VerdictKind.FAIL:
        return ""
    span = deploy.windows.business_hours(deploy.ports.clock.now())
    if span is None:
        return ""
    return f"in business hours ({span.words(deploy.windows.zone)}) a failing deploy is rolled back, never let forward"
