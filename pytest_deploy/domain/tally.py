"""How many tests ran and which of them failed, read from what a test command leaves: JUnit, TAP or pytest's output."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree as ET

__all__ = ["Tally", "from_junit", "from_output"]

_PYTEST_END = re.compile(
    r"^(?:=+ )?(?P<counts>(?:\d+ (?:failed|passed|skipped|errors?|xfailed|xpassed|deselected|warnings?|rerun)(?:, )?)+"
    r"|no tests ran) in [\d.]+s",
    re.MULTILINE,
)
_PYTEST_COUNT = re.compile(r"(\d+) (failed|passed|skipped|error|xfailed|xpassed)")
_PYTEST_NAME = re.compile(
    # Parameters may hold what else stands between the test and its error: test_pay[1 - 2] - assert 1 == 2
    r"^(?:FAILED|ERROR) (\S+?\.py(?:::[^\[\n]+?)?(?:\[.*?\])?)(?: - .*)?$",
    re.MULTILINE,
)
_TAP_PLAN = re.compile(r"^1\.\.(\d+)", re.MULTILINE)
_TAP_LINE = re.compile(r"^(not )?ok\b[ ]*(\d*)[ ]*-?[ ]*([^#\n]*)(?:# *(\w+))?", re.MULTILINE)
_TAP_BAIL = re.compile(r"^Bail out!\s*(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What ran.

    Args:
        form: how it was told: ``JUnit``, ``pytest``, ``TAP``.
        failed: how many; ``names`` may be fewer, where the form does not name them.
    """

    form: str
    passed: int = 0
    skipped: int = 0
    failed: int = 0
    names: tuple[str, ...] = ()

    @property
    def ran(self) -> int:
        """How many were run to an end."""
        return self.passed + self.failed


def from_junit(reports: Iterable[str]) -> Tally:
    """Return what JUnit reports say, all taken together.

    Raises:
        ValueError: one of them is no JUnit report.
    """
    passed = skipped = 0
    names: list[str] = []
    for text in reports:
        try:
            root = ET.fromstring(text)  # noqa: S314 - the team's own file; expat caps entity expansion
        except ET.ParseError as error:
            raise ValueError(f"no XML: {error}") from error
        if root.tag not in {"testsuites", "testsuite"}:
            raise ValueError(f"no JUnit report: its root is <{root.tag}>")
        for case in root.iter("testcase"):
            kinds = {child.tag for child in case}
            if kinds & {"failure", "error"}:
                names.append(".".join(filter(None, (case.get("classname"), case.get("name")))) or "a test without name")
            elif "skipped" in kinds:
                skipped += 1
            else:
                passed += 1
    return Tally(form="JUnit", passed=passed, skipped=skipped, failed=len(names), names=tuple(names))


def from_output(text: str) -> Tally | None:
    """Return what pytest's summaries or a TAP stream say; None where the text holds neither."""
    return _pytest(text) or _tap(text)


def _pytest(text: str) -> Tally | None:
    ends = list(_PYTEST_END.finditer(text))
    if not ends:
        return None
    counts: dict[str, int] = {}
    for end in ends:
        for number, what in _PYTEST_COUNT.findall(end["counts"]):
            counts[what] = counts.get(what, 0) + int(number)
    return Tally(
        form="pytest",
        # An expected failure was run, and went as it should.
        passed=counts.get("passed", 0) + counts.get("xfailed", 0) + counts.get("xpassed", 0),
        skipped=counts.get("skipped", 0),
        failed=counts.get("failed", 0) + counts.get("error", 0),
        names=tuple(dict.fromkeys(_PYTEST_NAME.findall(text))),
    )


def _tap(text: str) -> Tally | None:
    """Read TAP (https://testanything.org/tap-version-14-specification.html): only what stands at the left margin."""
    plans = [int(number) for number in _TAP_PLAN.findall(text)]
    if not plans:
        return None
    passed = skipped = 0
    names: list[str] = []
    for negated, number, name, directive in _TAP_LINE.findall(text):
        if directive.upper().startswith("SKIP"):
            skipped += 1
        elif negated and directive.upper() != "TODO":
            names.append(name.strip() or f"test {number}")
        else:
            passed += 1
    names += [f"bailed out: {why}" for why in _TAP_BAIL.findall(text)]
    if (seen := passed + skipped + len(names)) < sum(plans):
        names.append(f"{sum(plans) - seen} of {sum(plans)} planned tests did not run")
    return Tally(form="TAP", passed=passed, skipped=skipped, failed=len(names), names=tuple(names))
