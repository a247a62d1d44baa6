"""``pytest-deploy recover`` as another machine runs it: with deploy.yaml and access, and nothing else of the deploy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.oracle import Place

__all__ = ["recover"]

_WITHIN_S = 150.0


def recover(place: Place, log: Path, *, failpoint: str = "", dies_after_s: float | None = None) -> int:
    """Run it to its end and return its status; negative: the signal that it died of.

    Args:
        place: with the deploy.sandbox.yaml in its folder.
        log: what it says goes there; its reports stand beside it.
        dies_after_s: SIGKILL after so long, wherever it is; None: it must end by itself.
    """
    cli = str(Path(sys.executable).with_name("pytest-deploy"))
    where = ("--config", str(place.folder / "deploy.sandbox.yaml"), "--environment", "prod")
    env = {"PATH": os.environ["PATH"], "HOME": str(log.parent), "PYTEST_DEPLOY_CACHE": str(place.sandbox.cache)}
    with log.open("ab") as out:
        process = subprocess.Popen(
            (cli, "recover", "--sandbox", *where, "--reports", str(log.parent / "recovered"), "--wait"),
            cwd=log.parent,
            env=env | ({"PYTEST_DEPLOY_FAILPOINT": failpoint} if failpoint else {}),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            return process.wait(_WITHIN_S if dies_after_s is None else dies_after_s)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
            assert dies_after_s is not None, f"recover did not end within {_WITHIN_S} s:\n{log.read_text('utf-8')}"
            return status
