"""What a pod in the cluster runs: a deploy as any pytest would run it, then its report; or the watchdog.

Standing here, both have the pod's service account and nothing else. A SIGTERM (the pod is deleted, its node drained)
reaches pytest, which takes the deploy back within the pod's grace period. The first process of a container has no
default for it: where nothing handles a SIGTERM, it is lost.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from pytest_deploy.domain.outcome import Outcome
from pytest_deploy.errors import DeployError
from pytest_deploy.incluster.bundle import CONFIG, CONTEXT, FILE, KUBECONFIG, unpack
from pytest_deploy.incluster.objects import COMPONENT
from pytest_deploy.incluster.report import report_map, report_name

__all__ = ["main", "pytest_arguments", "write_kubeconfig"]

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/"""


def write_kubeconfig(path: Path, environ: Mapping[str, str], account: Path = _ACCOUNT) -> None:
    """Write a kubeconfig of the pod's service account, which our client and Helm read alike.

    The token is named by its file: the kubelet renews it there.
    """
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ["KUBERNETES_SERVICE_PORT"]
    server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    cluster = {"server": server, "certificate-authority": str(account / "ca.crt")}
    facts = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": CONTEXT, "user": {"tokenFile": str(account / "token")}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
        "current-context": CONTEXT,
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(facts), "utf-8")


def pytest_arguments(folder: Path, feature: str) -> list[str]:
    """Return pytest's arguments for the deploy.

    Args:
        folder: where the archive was unpacked.
        feature: its path there.
    """
    return [
        str(folder / feature),
        *("--rootdir", str(folder), "--import-mode=importlib", "-p", "no:cacheprovider", "--color=no"),
        *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # this package was imported before pytest was
        *("--deploy-config", str(folder / CONFIG), "--deploy-reports", str(folder / "reports"), "--deploy-yes"),
    ]


def main() -> None:
    """Run what the arguments say: ``deploy FEATURE``, or ``watchdog ENVIRONMENT ...``."""
    signal.signal(signal.SIGTERM, _ends)
    what, *arguments = sys.argv[1:]
    folder = Path.cwd() / "deploy"
    folder.mkdir(exist_ok=True)  # a watchdog's container that was started again finds the pod's old folder
    unpack(Path("/files", FILE).read_bytes(), folder)
    write_kubeconfig(Path(KUBECONFIG), os.environ)
    os.environ["KUBECONFIG"] = KUBECONFIG  # for the team's own steps and scripts
    if what == "watchdog":
        from pytest_deploy.incluster.guard import guard

        guard(folder / CONFIG, arguments, reports=folder / "reports")
    sys.exit(_deploy(folder, *arguments))


def _ends(number: int, frame: object) -> None:
    """End as a deploy that was interrupted before it changed anything; recover's child is ended on the way."""
    del number, frame
    raise SystemExit(Outcome.INTERRUPTED_EARLY.status)


def _deploy(folder: Path, feature: str) -> int:
    import pytest

    status = int(pytest.main(pytest_arguments(folder, feature)))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is left to do takes a moment, and is what everybody waits for
    try:
        _leave_report(folder / "reports", status)
    except DeployError as error:
        print(f"the report stays in this log alone: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the pod's log
    return status


def _leave_report(reports: Path, status: int) -> None:
    from pytest_deploy.errors import Rejected
    from pytest_deploy.io.clock import SystemClock
    from pytest_deploy.io.kube import KubeApi

    latest = reports / "latest"
    job, namespace = os.environ["DEPLOY_JOB"], os.environ["DEPLOY_NAMESPACE"]
    made = report_map(
        job,
        namespace,
        os.environ["DEPLOY_JOB_UID"],
        {"app.kubernetes.io/managed-by": "pytest-deploy", COMPONENT: "deploy-report"},
        status=status,
        folder=latest.resolve() if latest.exists() else None,
    )
    connection = KubeApi(clock=SystemClock()).at(CONTEXT, KUBECONFIG)
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    try:
        connection.create(path, made)
    except Rejected:
        raise
    except DeployError:
        # Its answer was lost, or the API server is away: look, patiently, and try once more.
        if connection.read(f"{path}/{report_name(job)}", accept=(404,)).status == 404:
            connection.create(path, made)


if __name__ == "__main__":
    main()
