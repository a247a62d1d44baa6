"""Pre-flight: what must be true before anything is changed, and what undo will go back to.

Each check runs once; whatever the feature does not ask for is made up for by ``ensure`` before the first write. When
one fails, all the others are run too, so that everything can be mended at once (``findings``).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from pytest_deploy.engine import detect, enough, measurable, windows
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.engine.preflight import accounts, clusters, releases, stacks, surroundings
from pytest_deploy.engine.preflight.findings import SECTIONS, Check, Checks, asked
from pytest_deploy.engine.preflight.stacks import upgrade
from pytest_deploy.errors import Refused

__all__ = ["CHECKS", "account", "cluster", "ensure", "metrics", "release_status", "run", "stack", "upgrade"]


def cluster(deploy: Deploy) -> None:
    """Check that the cluster that answers is the expected one, and record which it is.

    Raises:
        Refused: another one answers than deploy.yaml expects, or one that is too old.
        Unreachable: none answers.
    """
    _CHECKS.run(deploy, "cluster")


def stack(deploy: Deploy) -> None:
    """Check that this deploy knows how to drive what is there: strategy, Helm, Rollout, steps, size, CRDs.

    Raises:
        LockHeld: another deploy of this release is open.
        Refused: with the way out; nothing was changed.
    """
    _CHECKS.run(deploy, "platform", "stack", "autoscaler", "crds", "record size")


def release_status(deploy: Deploy) -> None:
    """Check that Helm's release is at rest and has room, and capture what undo goes back to.

    Raises:
        LockHeld: another deploy of this release is open.
        Refused: the release is pending or failed, or was never installed; with the command that mends it.
    """
    _CHECKS.run(deploy, "release", "old image", "quota", "disruption budget")


def account(deploy: Deploy) -> None:
    """Check that the account may do, and undo, all that this deploy does, and not much more.

    Raises:
        Refused: naming every verb that is missing, or that makes it too powerful.
    """
    _CHECKS.run(deploy, "account", "privilege", "credentials", "approvers")


def metrics(deploy: Deploy) -> None:
    """Check that each gate finds its metrics, and will have requests enough.

    Raises:
        Refused: a gate could never be judged, or never pass; nothing was changed.
    """
    _CHECKS.run(deploy, "release", "metrics", "requests")


def run(deploy: Deploy, name: str, check: Check) -> None:
    """Run a check of its own kind (incidents, checklist, error budget): when it fails, all others are run too.

    Args:
        name: the section of deploy.yaml, where it has one; it is then not asked a second time.

    Raises:
        GateBreach, DeployError: as the check does, with all that the others found.
    """
    _CHECKS.run_own(deploy, name, check)


def ensure(deploy: Deploy) -> None:
    """Make up for what the feature did not ask: nothing is written before all of it holds.

    Raises:
        Refused: see the checks; also when the image that is to be deployed runs already.
    """
    for check in (cluster, stack, release_status, account, metrics):
        check(deploy)
    _CHECKS.run(deploy, "freeze")
    for section in SECTIONS:
        if section in deploy.ports.capabilities and section not in deploy.checked:
            _CHECKS.run_own(deploy, section, partial(asked, section=section))
    good = deploy.known_good
    if good is not None and good.image == deploy.image.pinned:
        raise Refused(
            f"{good.image} is live already: there is nothing to deploy, and no canary would start",
            hint="deploy another digest; for a change of values alone there is no canary to judge yet",
        )


CHECKS: Mapping[str, Check] = {
    "cluster": clusters.expected,
    "platform": detect.check,
    "stack": stacks.drivable,
    "autoscaler": surroundings.autoscalers,
    "crds": surroundings.crds,
    "record size": surroundings.record_size,
    "release": releases.at_rest,
    "old image": releases.old_image,
    "quota": surroundings.quotas,
    "disruption budget": surroundings.disruption_budgets,
    "account": accounts.may_do_and_undo,
    "privilege": accounts.not_too_powerful,
    "credentials": accounts.lasts,
    "approvers": accounts.approvable,
    "freeze": windows.not_frozen,
    "metrics": measurable.gates_can_be_judged,
    "requests": enough.check,
}
"""All of them by name, in their order."""

_CHECKS = Checks(
    CHECKS,
    elsewhere=frozenset({"approvers", "freeze", "metrics", "requests"}),
    too_slow=frozenset({"requests"}),
)
