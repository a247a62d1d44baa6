"""Past deploys, judged again: what counts as a false abort, as a miss, and as neither."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.domain.evidence_judge import EvidenceJudge
from pytest_deploy.domain.measurement import Kind, Objective, Reading, Role, Subject
from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.plan import Gate, Stage
from pytest_deploy.domain.policy import Policy
from pytest_deploy.domain.release import Environment
from pytest_deploy.errors import ConfigError
from pytest_deploy.gate.backtest import Deemed, Finding, Summary, backtest, find
from pytest_deploy.gate.past import End, Past, read
from pytest_deploy.replay import Plan

BEGIN = datetime(2026, 11, 1, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SCRAPE = timedelta(seconds=15)
PROD = Environment(name="prod", context="c", namespace="n", release="r", rollout="api", container="api")
NEW, OLD = "new", "old"


class History:
    """Port ``Metrics`` as of a time: 100 requests a second of each version, of which the new one fails a share."""

    def __init__(self, now: Callable[[], datetime], *, bad_ratio: float, forgets: datetime | None) -> None:
        self.now = now
        self._bad_ratio = bad_ratio
        self._forgets = forgets
        self.scrape_interval = SCRAPE
        self.tells_versions_apart = True
        self.asked: list[Subject] = []

    def read(self, objective: Objective, subject: Subject, since: datetime) -> Reading:
        """Return what was counted until the time that it is made to be."""
        self.asked.append(subject)
        at = self.now()
        total = 100 * (at - since).total_seconds() if self._forgets is None or at > self._forgets else None
        bad = None if total is None else total * (self._bad_ratio if subject.template_hash == NEW else 0)
        return Reading(
            since=since,
            at=at,
            newest=None if total is None else at,
            total=total,
            bad=bad,
            value=None if total is None or bad is None else bad / total,
            queries=("q",),
        )

    def problems(self, objective: Objective, subject: Subject) -> Sequence[str]:
        """Return nothing."""
        return ()


def plan(*weights: int, limit: float = 0.005, window: timedelta = MINUTE) -> Plan:
    """Return a plan with a gate for the error rate at each weight."""
    errors = Objective(kind=Kind.ERROR_RATE, limit=limit)
    stages = tuple(
        Stage(
            weight=weight,
            gates=(Gate(objective=errors, window=window, scenario=f"at {weight}", place=f"x:{weight}"),),
            scenario=f"at {weight}",
            place=f"x:{weight}",
        )
        for weight in weights
    )
    return Plan(stages=stages, afterwards=(), judge=EvidenceJudge(), policy=Policy(), window=window)


def record(folder: Path, number: int = 1, *, broken_at: int | None = None, stay_s: int = 90, **changes: object) -> Path:
    """Write the record of a deploy that was committed, or rolled back by its error rate at a weight."""
    begin = BEGIN + timedelta(hours=number)
    weights = [5, 100] if broken_at != 5 else [5]
    times = [begin + timedelta(seconds=stay_s * index) for index in range(len(weights) + 1)]
    body: dict[str, Any] = {
        "version": 1,
        "id": f"20261101T{number:02}-api",
        "mode": "real",
        "outcome": {"name": "ROLLED_BACK" if broken_at else "COMMITTED", "words": "-", "status": 0},
        "service": "api",
        "environment": "prod",
        "window_divisor": 1,
        "started": begin.isoformat(),
        "ended": (times[-1] + timedelta(minutes=9)).isoformat(),
        "known_good": {"revision": 1, "image": "i", "template_hash": OLD},
        "weights": [
            {"asked": weight, "actual_percent": float(weight), "at": at.isoformat(), "took_s": 1, "final": False}
            for weight, at in zip(weights, times, strict=False)
        ],
        "traffic": None,
        "gates": [
            {
                "name": "error rate",
                "weight": weight,
                "verdict": "FAIL" if weight == broken_at else "PASS",
                "subject": f"api, pods of version {NEW}",
                "template_hash": NEW,
            }
            for weight in weights
        ],
        "rollbacks": [{"started": {"at": times[-1].isoformat()}}] if broken_at else [],
    }
    path = folder / str(body["id"]) / "deploy.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(body | changes), "utf-8")
    return path


def judged(of: Plan, path: Path, *, bad_ratio: float = 0, forgets: datetime | None = None) -> Finding:
    """Return what the plan would have decided of one record."""
    (finding,) = backtest(of, "api", PROD, [read(path)], lambda now: History(now, bad_ratio=bad_ratio, forgets=forgets))
    return finding


def test_agreement_is_neither_a_false_abort_nor_a_miss(tmp_path: Path) -> None:
    """A clean deploy that was committed passes; one that a gate stopped is stopped."""
    clean = judged(plan(5, 100), record(tmp_path))
    bad = judged(plan(5, 100), record(tmp_path, 2, broken_at=5), bad_ratio=0.1)
    assert (clean.deemed, clean.false_abort, clean.where) == (Deemed.PASS, False, "5 %, 100 %")
    assert (bad.deemed, bad.miss, bad.where, bad.holds) == (Deemed.STOP, False, "5 %", False)
    assert bad.why.startswith("error rate at 5 %: FAIL, 10.00 % > 0.50 %")


def test_a_stricter_feature_has_a_false_abort(tmp_path: Path) -> None:
    """It was committed and stayed, and this feature would have stopped it."""
    finding = judged(plan(5, 100, limit=0.0005), record(tmp_path), bad_ratio=0.004)
    assert (finding.deemed, finding.false_abort) == (Deemed.STOP, True)
    assert "FALSE ABORT" in finding.words


def test_a_laxer_feature_has_a_miss(tmp_path: Path) -> None:
    """A gate had it rolled back, and this feature would have let it pass where that gate stopped it."""
    finding = judged(plan(5, 100, limit=0.1), record(tmp_path, broken_at=100), bad_ratio=0.02)
    assert (finding.deemed, finding.miss) == (Deemed.PASS, True)
    assert "rolled back by a gate at 100 % (error rate)" in finding.words
    assert "MISS" in finding.words


def test_data_that_is_gone_is_no_agreement(tmp_path: Path) -> None:
    """A deploy whose data the provider no longer has is counted apart, whatever became of it."""
    later = BEGIN + timedelta(days=1)
    for number, broken_at in ((1, None), (2, 5)):
        finding = judged(plan(5, 100), record(tmp_path, number, broken_at=broken_at), forgets=later)
        assert (finding.deemed, finding.false_abort, finding.miss) == (Deemed.NO_DATA, False, False)


def test_a_weight_that_was_left_early_is_undecided(tmp_path: Path) -> None:
    """Nobody knows what the rest of a longer window would have shown: the canary was gone."""
    path = record(tmp_path, broken_at=5, stay_s=40)
    lax = judged(plan(5, 100, limit=0.1), path, bad_ratio=0.05)
    strict = judged(plan(5, 100), path, bad_ratio=0.05)
    assert (lax.deemed, lax.miss) == (Deemed.UNDECIDED, False)
    assert "had left this weight at" in lax.why
    assert strict.deemed is Deemed.STOP


def test_a_weight_that_the_feature_lacks_is_undecided(tmp_path: Path) -> None:
    """A gate stopped it at 100 %, and this feature says nothing about 100 %: no miss, and no agreement."""
    silent = judged(plan(5), record(tmp_path, broken_at=100))
    other = judged(plan(7), record(tmp_path, 2))
    assert (silent.deemed, silent.miss, silent.why) == (Deemed.UNDECIDED, False, "this feature has no gate at 100 %")
    assert (other.deemed, other.why) == (Deemed.NO_DATA, "its weights (5 %, 100 %) are none of this feature's")


def test_the_versions_of_that_time_are_read(tmp_path: Path) -> None:
    """The new version's pods are judged and the old ones' are the control, as of each look's own time."""
    made: list[History] = []

    def as_of(now: Callable[[], datetime]) -> History:
        made.append(History(now, bad_ratio=0, forgets=None))
        return made[-1]

    list(backtest(plan(5, 100), "api", PROD, [read(record(tmp_path))], as_of))
    first, last = ({(each.role, each.template_hash) for each in metrics.asked} for metrics in made)
    assert first == {(Role.CANARY, NEW), (Role.STABLE, OLD)}
    assert last == {(Role.CANARY, NEW)}


def test_rehearsals_others_and_older_ones_are_left_out(tmp_path: Path) -> None:
    """Only real deploys of this service to this environment since then are judged, each once."""
    kept = record(tmp_path, 9)
    (tmp_path / "latest").symlink_to(kept.parent)
    record(tmp_path, 1)
    record(tmp_path, 10, mode="rehearsal")
    record(tmp_path, 11, service="other")
    record(tmp_path, 12, environment="staging")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "deploy.json").write_text("{", "utf-8")
    record(tmp_path, 13, outcome=None)
    found, unreadable = find(tmp_path, "api", "prod", since=BEGIN + timedelta(hours=5), mode=Mode.REAL)
    assert [each.id for each in found] == ["20261101T09-api"]
    assert len(unreadable) == 2


def test_no_past_deploy_is_refused_with_what_was_looked_for(tmp_path: Path) -> None:
    """Nothing judged is no clean record."""
    record(tmp_path, 1, mode="rehearsal")
    with pytest.raises(ConfigError, match=r"no real deploy of 'api' to 'prod' since 2026-11-01 10:00 UTC; 1 others"):
        find(tmp_path, "api", "prod", since=BEGIN, mode=Mode.REAL)


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({}, End.COMMITTED),
        ({"rollbacks": [{"started": {"at": BEGIN.isoformat()}}]}, End.OTHER),
        ({"outcome": {"name": "INTERRUPTED", "words": "-", "status": 2}}, End.OTHER),
    ],
)
def test_what_a_gate_did_not_decide_says_nothing_about_gates(
    tmp_path: Path, changes: dict[str, object], end: End
) -> None:
    """A deploy that was interrupted, or rolled back for another reason, is no known outcome of a gate."""
    assert read(record(tmp_path, **changes)).end is end


def test_rates_rest_on_what_was_decided(tmp_path: Path) -> None:
    """No data and undecided are in no denominator; each rate says of how many, and how sure it is."""

    def one(end: End, deemed: Deemed) -> Finding:
        past = read(record(tmp_path / f"{end}{deemed}"))
        kept: Past = past.__class__(**{name: getattr(past, name) for name in past.__slots__} | {"end": end})
        return Finding(past=kept, deemed=deemed, where="")

    findings = tuple(one(end, deemed) for end in End for deemed in Deemed)
    summary = Summary(findings=findings, unreadable=("x: broken",))
    assert (summary.false_aborts, summary.misses) == ((1, 2), (1, 2))
    assert summary.lines[0].startswith("false aborts: 1 of 2 (50.00 %, 95 % interval 1.26 % to 98.74 %)")
    assert summary.lines[2] == "counted apart: 3 no data, 3 undecided, 4 ended otherwise, 1 unreadable"
    body: Any = json.loads(json.dumps(summary.to_json()))
    assert (body["false_aborts"], body["misses"]) == ({"count": 1, "of": 2}, {"count": 1, "of": 2})
    assert len(body["deploys"]) == 12


def test_a_rate_of_nothing_is_said_to_be_none(tmp_path: Path) -> None:
    """0 of 0 is not 0 %."""
    assert "0 of 0 (nothing to tell a rate from)" in Summary(findings=(), unreadable=()).lines[0]
