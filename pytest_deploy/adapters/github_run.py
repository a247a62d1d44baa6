"""Whether the GitHub run that a deploy belongs to is still in progress: its process may only be slow, or cut off."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from pytest_deploy.errors import DeployError
from pytest_deploy.io.gh import Gh, Repository
from pytest_deploy.ports import Clock

__all__ = ["still_runs"]

_RUN = re.compile(r"https?://(?P<host>[^/\s]+)/(?P<repository>[^/\s]+/[^/\s]+)/actions/runs/(?P<id>[0-9]+)")


def still_runs(by: str, *, environ: Mapping[str, str], program: str, clock: Clock, say: Callable[[str], None]) -> str:
    """Return which run is in progress, in words; "" where it has ended, is our own one, or can't be asked for.

    A step with ``if: always()`` belongs to the run whose deploy died in an earlier step: that one is no other.
    Where GitHub can't be asked the lease alone decides, and that is said.

    Args:
        by: who held the lock, as ``io.person.who`` wrote it.
        environ: of this process; ``GITHUB_RUN_ID`` is our own run.
        program: ``gh``.
    """
    found = _RUN.search(by)
    if found is None or found["id"] == environ.get("GITHUB_RUN_ID"):
        return ""
    try:
        repository = Repository.parse(f"{found['host']}/{found['repository']}")
        answer = Gh(program, host=repository.host, clock=clock).read(
            f"{repository.path}/actions/runs/{found['id']}", needs="actions: read"
        )
    except (DeployError, ValueError) as error:
        say(f"whether {found[0]} still runs is not known, so its lease alone decides: {error.args[0]}")
        return ""
    status = answer.get("status") if isinstance(answer, dict) else None
    return "" if status in {None, "completed"} else f"its CI run {found[0]} is still {status}"
