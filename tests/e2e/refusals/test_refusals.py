"""The table of refusals: the world is wrong in one way, a real deploy says so, and has written nothing.

What it has written is told by the audit log of the real API server, not by what is there afterwards.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.oracle import Sandbox
from tests.e2e.refusals import (  # noqa: F401 - each fills its part of the table
    rows_checks,
    rows_cluster,
    rows_people,
    rows_release,
    rows_service,
    rows_supply,
)
from tests.e2e.refusals.audit import AuditLog, beyond_records, writes
from tests.e2e.refusals.conftest import Grounds
from tests.e2e.refusals.parts import Parts
from tests.e2e.refusals.world import ROWS, world

pytestmark = pytest.mark.real

_LAST = {4: "REFUSED, nothing changed", 1: "STOPPED, nothing had been changed"}
_STAGING_BACK = "ROLLED BACK, verified"


@pytest.mark.parametrize("name", ROWS)
def test_a_wrong_world(own_sandbox: Sandbox, grounds: Grounds, parts: Parts, tmp_path: Path, name: str) -> None:
    """The exit status, what is wrong, where and the next move; no write to production, not even one that was denied."""
    row = ROWS[name]
    made = world(grounds.get(row.ground), parts, tmp_path)
    log = AuditLog.of(own_sandbox.facts)
    with row.broken(made):
        mark = log.mark()
        run = made.deploy()
        status = run.end(within_s=120)
        asked = log.since(mark, made.account)
    if status not in _LAST:
        grounds.drop(row.ground)
    assert status == row.status, run.out
    assert (_STAGING_BACK if row.records and status == 1 else _LAST[status]) in run.out, run.out
    what, where, mend = (text.format(**made.words) for text in (row.what, row.where, row.mend))
    _, _, moves = run.out.partition("next: ")
    assert what in run.out, run.out
    assert where in run.out, run.out
    assert mend in moves, run.out
    assert bool(asked) == row.contacted, asked
    written = list(beyond_records(asked, made.place.namespace) if row.records else writes(asked, made.place.namespace))
    assert written == []
