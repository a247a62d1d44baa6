"""The kill matrix's own judgement: a sound end passes, and each kind of wrong end is told by its invariant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.e2e.kill_matrix.cells import HOWS, cells, sample
from tests.e2e.kill_matrix.judge import Ended, violations
from tests.e2e.kill_matrix.truth import Deploy, Lease, Truth
from tests.e2e.kill_matrix.watch import Step, Watch

OLD, NEW, OTHER = (f"sha256:{letter * 64}" for letter in "abc")
AT = datetime(2026, 1, 1, tzinfo=UTC)
UPGRADE = {
    "type": "HelmUpgrade",
    "target": {"environment": "prod"},
    "values": [["image.repository", '"x"'], ["image.digest", f'"{NEW}"']],
}


def there(digest: str, *helm: tuple[int, str, str]) -> Truth:
    """Return a namespace that serves this version alone, at rest."""
    return Truth(
        wanted=digest,
        stable=digest,
        running={digest: 4},
        replicas=4,
        resting="",
        services={"stable": True, "canary": True},
        helm=helm,
        deployed=digest,
        fence="3",
        moves=None,
    )


def journal(*milestones: tuple[str, str]) -> Deploy:
    """Return the journal of a deploy with one mutation and these milestones."""
    entries: list[dict[str, Any]] = [{"seq": 1, "state": "intent", "action": UPGRADE, "undo": {"kind": "restore"}}]
    entries += [
        {
            "seq": n,
            "state": "milestone",
            "milestone": name,
            "observed": words,
            "at": (AT + timedelta(seconds=n)).isoformat(),
        }
        for n, (name, words) in enumerate(milestones, start=2)
    ]
    return Deploy(deploy_id="d", entries=tuple(entries))


def watched(*, lows: tuple[int, ...] = (4,), steps: tuple[Step, ...] = ()) -> Watch:
    """Return what was seen meanwhile."""
    return cast("Watch", SimpleNamespace(alive=True, lows=[(AT, count) for count in lows], steps=list(steps)))


UNDONE = journal(("rolling back", ""), ("rolled back", ""), ("closed", "ROLLED BACK, verified"))
DONE = journal(("judged", "PASS"), ("judged", "PASS"), ("committed", ""), ("closed", "COMMITTED"))
INSTALLED = (1, "deployed", "Install complete")
BACK = ((1, "superseded", "Install complete"), (2, "superseded", "Upgrade complete"), (3, "deployed", "Rollback to 1"))
NO_UNDO = replace(UNDONE, entries=({"seq": 1, "state": "intent", "action": UPGRADE}, *UNDONE.entries[1:]))
HELD = Lease(holder="d", expired=True, transitions=3, version="9")
KILLED = Ended(
    how="SIGKILL",
    helm=True,
    before={"prod": there(OLD, INSTALLED)},
    after={"prod": there(OLD, *BACK)},
    deploy=UNDONE,
    others_open=[],
    lease=Lease(holder="", expired=True, transitions=3, version="9"),
    watch=watched(),
    status=-9,
    closed_itself=None,
    recovered=1,
    again=0,
    changed=[],
    processes=[],
)
COMMITTED = replace(
    KILLED,
    how="SIGSTOP",
    after={"prod": there(NEW, (1, "superseded", "Install complete"), (2, "deployed", "Upgrade complete"))},
    deploy=DONE,
    status=0,
    closed_itself="COMMITTED",
    recovered=0,
)


def prod(ended: Ended, **changes: Any) -> Ended:
    """Return it with production changed."""
    return replace(ended, after={"prod": replace(ended.after["prod"], **changes)})


def test_a_sound_end_is_no_violation() -> None:
    """Undone after a death, committed by itself, or nothing begun at all."""
    nothing = Deploy(deploy_id="d", entries=DONE.entries[-1:])
    stopped = replace(KILLED, deploy=nothing, recovered=0, after={"prod": there(OLD, INSTALLED)})
    for ended in (KILLED, COMMITTED, stopped):
        assert list(violations(ended)) == []


WRONG: tuple[tuple[str, Callable[[], Ended]], ...] = (
    ("1:", lambda: replace(KILLED, lease=Lease(holder="", expired=True, transitions=4, version="9"))),
    ("2:", lambda: replace(KILLED, deploy=NO_UNDO)),
    ("3: prod wants", lambda: prod(KILLED, wanted=NEW, deployed=NEW)),
    ("3: prod wants", lambda: prod(KILLED, stable=OTHER)),
    ("3: prod wants", lambda: replace(COMMITTED, after={"prod": there(OLD, *BACK)})),
    ("3: prod runs", lambda: prod(KILLED, running={OLD: 3, NEW: 1})),
    ("3: prod runs", lambda: prod(KILLED, running={OLD: 3})),
    ("4:", lambda: replace(KILLED, watch=watched(steps=(Step(at=AT, digest=NEW, index=2),)))),
    ("5: prod is not at rest", lambda: prod(KILLED, resting="aborted")),
    ("5: prod: Helm's last is 3, pending", lambda: prod(KILLED, helm=(*BACK[:2], (3, "pending-rollback", "")))),
    ("5: prod: Helm's last", lambda: prod(KILLED, deployed=NEW)),
    ("5: prod: Helm's last", lambda: prod(KILLED, helm=(*BACK[:2], (3, "deployed", "Rollback to 2")))),
    ("5: the deploy's exit", lambda: replace(KILLED, status=0)),
    ("5: the deploy's exit", lambda: replace(COMMITTED, status=7)),
    ("5: after SIGTERM", lambda: replace(KILLED, how="SIGTERM", status=4)),
    ("5: recover's exit", lambda: replace(KILLED, recovered=7)),
    ("5: recover's exit", lambda: replace(COMMITTED, recovered=1)),
    ("6: the journal", lambda: replace(KILLED, deploy=journal(("rolling back", "")))),
    ("6: other", lambda: replace(KILLED, others_open=["e"])),
    ("8:", lambda: replace(KILLED, helm=False)),
    ("7:", lambda: replace(KILLED, again=1)),
    ("7:", lambda: replace(KILLED, changed=["prod"])),
    ("9: of 4", lambda: replace(KILLED, watch=watched(lows=(4, 3, 2)))),
    ("9: prod: Services", lambda: prod(KILLED, services={"stable": True, "canary": False})),
    ("10: the lease is held", lambda: replace(KILLED, lease=HELD)),
    ("10: there is no", lambda: replace(KILLED, lease=None)),
    ("processes", lambda: replace(KILLED, processes=["helm upgrade"])),
)  # fmt: skip


@pytest.mark.parametrize(("words", "ended"), WRONG)
def test_each_wrong_end_is_told(words: str, ended: Callable[[], Ended]) -> None:
    """By the invariant that it breaks."""
    assert any(text.startswith(words) for text in violations(ended()))


def test_a_weight_may_rise_after_its_gates_passed() -> None:
    """Both gates of 5 % before the step that follows its pause; one of them is not enough."""
    later, between = AT + timedelta(seconds=4), AT + timedelta(seconds=2.5)
    step = Step(at=later, digest=NEW, index=2)
    passed = journal(
        ("judged", "PASS"), ("judged", "PASS"), *((m, w) for m, w in [("rolled back", ""), ("closed", "x")])
    )
    assert list(violations(replace(KILLED, deploy=passed, watch=watched(steps=(step,))))) == []
    early = replace(KILLED, deploy=passed, watch=watched(steps=(replace(step, at=between),)))
    assert [text[:2] for text in violations(early)] == ["4:"]


def test_a_cell_is_replayed_by_its_seed() -> None:
    """The same seed gives the same choices, another one others; names are told apart."""

    def choices(seed: int) -> list[tuple[str, float | None, bool]]:
        return [(it.recover_failpoint, it.recover_dies_after_s, it.wakes_first) for it in cells(seed)]

    assert choices(3) == choices(3)
    assert choices(3) != choices(4)
    assert len({it.name for it in cells(3)}) == len(cells(3)) == 224


def test_a_sample_has_each_way_of_dying() -> None:
    """As often as the others, by the seed."""
    chosen = sample(cells(5), 8, 5)
    assert sorted(it.how for it in chosen) == sorted(HOWS * 2)
    assert chosen == sample(cells(5), 8, 5)
    assert chosen != sample(cells(6), 8, 6)


def test_files_of_the_matrix_import_none_of_our_judgement() -> None:
    """The oracle that reads the cluster takes nothing from the package under test but its clock."""
    folder = Path(__file__).parents[1] / "e2e" / "kill_matrix"
    for name in ("judge.py", "truth.py", "watch.py"):
        assert "pytest_deploy." not in (folder / name).read_text("utf-8").replace("pytest-deploy.dev", "")
