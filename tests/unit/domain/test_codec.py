"""Dataclasses as JSON and back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.domain.action import (
    External,
    HelmRollback,
    HelmUninstall,
    HelmUpgrade,
    RolloutPatch,
    Target,
    Undo,
    UndoKind,
)
from pytest_deploy.domain.codec import from_json, to_json
from pytest_deploy.domain.journal import Entry, EntryState
from pytest_deploy.domain.patches import promote
from pytest_deploy.domain.rollout import KnownGood

TARGET = Target(environment="prod", context="c", namespace="n", name="svc")
PROMOTE = to_json(promote(TARGET, step_index=1, template_hash="x", weight=5))
AT = datetime(2026, 11, 24, 10, 15, tzinfo=UTC)

texts = st.text(max_size=8)
pairs = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)
durations = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=400))
targets = st.builds(Target, environment=texts, context=texts, namespace=texts, name=texts, kubeconfig=st.none() | texts)
actions = st.one_of(
    st.builds(
        HelmUpgrade,
        target=targets,
        chart=texts,
        values_files=st.lists(texts, max_size=2).map(tuple),
        values=pairs,
        base_revision=st.integers(0),
        timeout=durations,
        labels=pairs,
    ),
    st.builds(HelmRollback, target=targets, revision=st.integers(1), timeout=durations),
    st.builds(HelmUninstall, target=targets, timeout=durations),
    st.builds(RolloutPatch, target=targets, before=pairs, change=pairs, after=texts),
    st.builds(External, system=texts, summary=texts, payload=texts),
)
undos = st.builds(
    Undo,
    release=st.none() | targets,
    rollout=st.none() | targets,
    container=texts,
    known_good=st.none() | st.builds(KnownGood, revision=st.none() | st.integers(1), image=texts, template_hash=texts),
    timeout=durations,
)
entries = st.builds(
    Entry,
    seq=st.integers(1),
    at=st.datetimes(timezones=st.just(UTC)),
    deploy_id=texts,
    action=st.none() | actions,
    undo=st.none() | undos,
    intent=st.none() | st.integers(1),
    observed=texts,
)


@given(entries)
def test_every_entry_comes_back(entry: Entry) -> None:
    """Whatever an entry holds, its JSON text gives an equal one."""
    assert from_json(Entry, json.loads(json.dumps(to_json(entry)))) == entry


def test_the_form_is_plain() -> None:
    """Times are ISO, durations seconds, tuples lists; only the one of several classes is named."""
    undo = Undo(
        kind=UndoKind.UNINSTALL,
        release=TARGET,
        rollout=None,
        container="svc",
        known_good=None,
        timeout=timedelta(seconds=90.5),
    )
    action = HelmRollback(target=TARGET, revision=3, timeout=timedelta(minutes=5))
    entry = Entry(seq=1, at=AT, deploy_id="d", state=EntryState.INTENT, action=action, undo=undo)
    data = to_json(entry)
    target = {"environment": "prod", "context": "c", "namespace": "n", "name": "svc", "kubeconfig": None}
    assert data == {
        "seq": 1,
        "at": "2026-11-24T10:15:00+00:00",
        "deploy_id": "d",
        "state": "intent",
        "action": {"type": "HelmRollback", "target": target, "revision": 3, "timeout": 300.0},
        "undo": {
            "kind": "uninstall",
            "release": target,
            "rollout": None,
            "container": "svc",
            "known_good": None,
            "timeout": 90.5,
        },
        "intent": None,
        "observed": "",
        "milestone": None,
    }


def _damaged(**changes: object) -> object:
    action = promote(TARGET, step_index=1, template_hash="x", weight=5)
    return {**to_json(Entry(seq=1, at=AT, deploy_id="d", state=EntryState.INTENT, action=action)), **changes}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "Entry: an object expected"),
        ({}, "seq, at, deploy_id, state is missing"),
        (_damaged(extra=1), "unknown extra; known: seq, at"),
        (_damaged(seq="1"), "Entry.seq: int expected, found '1'"),
        (_damaged(seq=True), "Entry.seq: int expected, found True"),
        (_damaged(at="yesterday"), "Entry.at: datetime expected, found 'yesterday'"),
        (_damaged(state="odd"), "Entry.state: EntryState expected, found 'odd'"),
        (_damaged(action={**PROMOTE, "type": "RolloutPatch", "before": "x"}), "Entry.action.before: a list expected"),
        (_damaged(deploy_id=None), "Entry.deploy_id: str expected, found None"),
        (_damaged(action={"type": "Odd"}), "Entry.action: one of HelmUpgrade, .* expected, found 'Odd'"),
        (_damaged(action={"type": "External", "system": "x"}), "Entry.action: summary is missing"),
        (
            _damaged(action={**PROMOTE, "type": "RolloutPatch", "before": [["a"]]}),
            r"Entry.action.before\[0\]: 2 values expected",
        ),
        (
            _damaged(action={"type": "HelmUninstall", "target": to_json(TARGET), "timeout": "5m"}),
            "Entry.action.timeout: timedelta expected, found '5m'",
        ),
    ],
)  # fmt: skip
def test_what_is_no_entry_is_refused_with_its_place(data: object, message: str) -> None:
    """Nothing is guessed: the error names the place, what is expected there, and what was found."""
    with pytest.raises(ValueError, match=message):
        from_json(Entry, data)  # type: ignore[arg-type]


def test_a_default_stands_for_what_is_absent() -> None:
    """A field with a default may be left out, as by an older writer."""
    data = {"seq": 1, "at": AT.isoformat(), "deploy_id": "d", "state": "intent"}
    assert from_json(Entry, data) == Entry(seq=1, at=AT, deploy_id="d", state=EntryState.INTENT)


@dataclass(frozen=True, kw_only=True)
class Odd:
    """Holds what has no form."""

    value: set[int]


def test_a_type_without_a_form_is_an_error() -> None:
    """A set can be neither written nor read: that is said at once, and not found at recovery."""
    with pytest.raises(TypeError, match="set has no form"):
        to_json(Odd(value={1}))
    with pytest.raises(TypeError, match="has no form"):
        from_json(Odd, {"value": [1]})


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Holds a number that JSON may write without a point."""

    value: float


def test_a_whole_number_is_a_float_where_one_is_wanted() -> None:
    """JSON writers drop the point; a bool is no number."""
    read = from_json(Ratio, {"value": 1})
    assert read == Ratio(value=1.0)
    assert type(read.value) is float
    with pytest.raises(ValueError, match=r"Ratio\.value: float expected, found True"):
        from_json(Ratio, {"value": True})
