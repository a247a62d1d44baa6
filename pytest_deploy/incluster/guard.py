"""The watchdog on real parts: leases of a cluster, and recover as a process of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pytest_deploy.errors import Refused
from pytest_deploy.incluster.watchdog import Recovered, Watchdog
from pytest_deploy.io.process import run

if TYPE_CHECKING:
    from pytest_deploy.domain.lock import Holder

__all__ = ["guard"]

_RECOVER_S = 30 * 60
"""A rollback with its verification takes minutes; one that hangs is begun anew by the next look."""
_WORDS_LIMIT = 2000


def guard(config: Path, names: Sequence[str], *, reports: Path, say: Callable[[str], None] | None = None) -> NoReturn:
    """Look after environments of a deploy.yaml for ever.

    Args:
        names: of the environments; empty: all of them.
        reports: recover writes its notes there.
        say: None: a line on stdout.

    Raises:
        ConfigError, Refused: deploy.yaml is wrong, or a context does not exist.
    """
    from pytest_deploy.adapters.lease_object import LeaseObject
    from pytest_deploy.config.load import load
    from pytest_deploy.io.clock import SystemClock
    from pytest_deploy.io.kube import KubeApi

    clock = SystemClock()
    release = load(config).release()
    unknown = set(names) - set(release.environments)
    if unknown:
        known = ", ".join(release.environments)
        raise Refused(f"deploy.yaml has no environment {', '.join(sorted(unknown))}, only: {known}")
    environments = {name: env for name, env in release.environments.items() if name in names or not names}
    api = KubeApi(clock=clock)
    leases = {
        name: LeaseObject(api.at(env.context, env.kubeconfig), env.namespace, env.release or env.rollout)
        for name, env in environments.items()
    }

    def look(name: str) -> Holder | None:
        return leases[name].read().holder

    def recover(name: str, deploy_id: str) -> Recovered:
        return _recover(config, name, deploy_id, reports)

    def told(text: str) -> None:
        print(f"{clock.now():%Y-%m-%dT%H:%M:%SZ} {text}", flush=True)  # noqa: T201 - the pod's log

    (say or told)(f"watching {release.service} in {', '.join(environments)}")
    Watchdog(list(environments), look=look, recover=recover, clock=clock, say=say or told).watch()
    raise AssertionError  # it never ends


def _recover(config: Path, environment: str, deploy_id: str, reports: Path) -> Recovered:
    """Run the verb that a person would: what it eats, and how it breaks, ends with it."""
    program = (sys.executable, "-P", "-c", "from pytest_deploy.cli import main; main()")
    what = ("recover", "--deploy", deploy_id, "--environment", environment)
    where = ("--config", str(config), "--reports", str(reports))
    # It is we: it sees what we see. Who recovered stands in the journal.
    who = os.environ.get("USER") or "watchdog"
    done = run((*program, *what, *where), timeout_s=_RECOVER_S, inherit=("*",), env={"USER": who})
    words = " | ".join(line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip())
    return Recovered(status=done.status, words=words[-_WORDS_LIMIT:])
