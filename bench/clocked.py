"""A pytest plugin (``-p bench.clocked``): how long a deploy waits for its journal and its lock, into BENCH_CLOCKED."""

from __future__ import annotations

import functools
import json
import os
import time
from pathlib import Path
from typing import Any

from pytest_deploy.adapters.lease import Lease
from pytest_deploy.adapters.mirrored_journal import MirroredJournal

_WAITED = {"journal": 0.0, "lock": 0.0, "calls": 0.0}
"""In the deploy's own thread; the lease is renewed in another one, which nobody waits for."""


def _clock(kind: type, names: tuple[str, ...], what: str) -> None:
    for name in names:
        real = getattr(kind, name)

        def clocked(*args: Any, _real: Any = real, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return _real(*args, **options)
            finally:
                _WAITED[what] += time.perf_counter() - began
                _WAITED["calls"] += 1

        setattr(kind, name, functools.wraps(real)(clocked))


_clock(MirroredJournal, ("append", "entries", "decision"), "journal")
_clock(Lease, ("look", "acquire", "check", "refence", "release"), "lock")


def pytest_unconfigure() -> None:
    """Write what was waited for."""
    Path(os.environ["BENCH_CLOCKED"]).write_text(json.dumps(_WAITED), "utf-8")
