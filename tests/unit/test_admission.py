"""No deploy is an accident."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_deploy.admission import Asked, confirmed, reasons
from pytest_deploy.domain.outcome import Mode


def asked(mode: Mode = Mode.REAL, **changes: object) -> Asked:
    """Return a call that is admitted, but for the changes."""
    values: dict[str, object] = {
        "mode": mode,
        "arguments": ["features/prod.feature"],
        "features": [Path("/repo/features/prod.feature")],
        "selected": 6,
        "collected": 6,
        "plugins": {},
        "invocation_dir": Path("/repo"),
    }
    return Asked(**(values | changes))  # type: ignore[arg-type]  # a table of keyword arguments


def test_one_whole_feature_by_name_is_admitted() -> None:
    """Exactly one named feature that runs whole may be a real deploy."""
    assert list(reasons(asked())) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"arguments": ["features/"]}, "names exactly one feature"),
        ({"arguments": []}, "names exactly one feature"),
        ({"arguments": ["a.feature", "b.feature"]}, "names exactly one feature"),
        ({"features": [Path("/repo/a.feature"), Path("/repo/b.feature")]}, "a.feature, b.feature"),
        ({"arguments": ["features/prod.feature::Pre-flight"]}, "runs whole"),
        ({"selected": 5}, "5 of 6 scenarios"),
        ({"plugins": {"-n": "one process"}}, "-n: one process"),
    ],
)
def test_everything_else_is_refused_with_its_reason(changes: dict[str, object], says: str) -> None:
    """A folder, a part, several features and plugins that break a deploy are each named."""
    assert says in "; ".join(reasons(asked(**changes)))


def test_a_rehearsal_may_be_anything() -> None:
    """Folders, parts and several features can be rehearsed."""
    assert list(reasons(asked(Mode.REHEARSAL, arguments=["features/"], selected=1, plugins={"-n": "x"}))) == []


def test_the_sandbox_reaches_only_itself() -> None:
    """There the rules against accidents are relaxed, those about plugins are not."""
    assert list(reasons(asked(Mode.SANDBOX, arguments=["features/"], selected=1))) == []
    assert list(reasons(asked(Mode.SANDBOX, plugins={"--reruns": "x"}))) == ["--reruns: x"]


@pytest.mark.parametrize(
    ("environ", "yes", "answer", "reason"),
    [
        ({"CI": "true"}, False, None, None),
        ({"CI": "1"}, False, None, None),
        ({}, True, None, None),
        ({}, False, "api\n", None),
        ({"CI": "false"}, False, None, "nobody confirmed"),
        ({}, False, None, "nobody confirmed"),
        ({}, False, "yes\n", "not confirmed"),
        ({}, False, "", "not confirmed"),
    ],
)
def test_ci_or_a_person_confirms(environ: Mapping[str, str], yes: bool, answer: str | None, reason: str | None) -> None:
    """CI, --deploy-yes or the typed service name; anything else is a no with its reason."""
    said = confirmed("api", "prod", environ=environ, yes=yes, ask=lambda _: answer)
    assert (said is None) == (reason is None)
    assert (reason or "") in (said or "")
