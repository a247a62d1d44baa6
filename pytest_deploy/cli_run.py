"""``pytest-deploy run --in-cluster``: the whole deploy as a Kubernetes Job, watched from here."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_deploy.errors import Refused, WaitTimedOut

if TYPE_CHECKING:
    from pytest_deploy.incluster.target import Source, Target
    from pytest_deploy.io.kube import Connection

__all__ = ["run"]

_WHO = (
    "GITHUB_ACTOR", "GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID",
    "GITLAB_USER_LOGIN", "CI_JOB_URL", "BUILD_URL", "USER",
)  # fmt: skip
"""What ``io.person`` reads: the journal then names who asked, not the pod."""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: pytest-deploy run --in-cluster features/prod_canary.feature --image REPO@sha256:...",
)
@click.argument("feature", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--in-cluster", "in_cluster", is_flag=True, help="Required: the deploy runs as a Job; here: pytest FEATURE."
)
@click.option("--attach", metavar="ID", help="Follow a Job that runs, or fetch the report of one that has ended.")
@click.option("--environment", metavar="NAME", help="Default: the one that the feature is bound for.")
@click.option("--image", metavar="REF", help="An image with pytest-deploy in it (make image); default: the sandbox's.")
@click.option("--namespace", metavar="NS", help="Where the Job runs; default: the environment's.")
@click.option("--secret", metavar="NAME", help="A Secret there whose keys the pod has as variables, for ${env:...}.")
@click.option("--config", metavar="PATH", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="deploy.yaml; default: looked up from the feature's folder upwards.")  # fmt: skip
@click.option("--deploy-set", "overrides", metavar="KEY=VALUE", multiple=True, help="As pytest's; repeatable.")
@click.option("--sandbox", "in_sandbox", is_flag=True, help="The sandbox's real node (sandbox up --backend node).")
@click.option("--name", default="default", show_default=True, help="With --sandbox: which one.")
@click.option("--reports", metavar="DIR", default=Path("reports"), type=click.Path(path_type=Path), show_default=True,
              help="Where the report is fetched to.")  # fmt: skip
def run(
    feature: Path | None,
    in_cluster: bool,
    attach: str | None,
    environment: str | None,
    image: str | None,
    namespace: str | None,
    secret: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    in_sandbox: bool,
    name: str,
    reports: Path,
) -> None:
    """Deploy FEATURE from inside of the cluster: a runner that is lost changes nothing.

    The log is followed and the report fetched; the exit status is the deploy's. Interrupted, this command leaves the
    Job alone: --attach finds it again. It runs with a ServiceAccount and a Role of its own, made where they are
    missing. Job, files and report are kept for a week.
    """
    if not in_cluster:
        raise Refused("run is for deploys in the cluster: add --in-cluster", hint="from here: pytest FEATURE")
    if (feature is None) == (attach is None):
        raise Refused("either FEATURE or --attach ID is wanted", hint="pytest-deploy run --help")
    from pytest_deploy.incluster.target import RealNode, bound_for, source

    found = source(config, feature, overrides, RealNode.of(name) if in_sandbox else None)
    if feature is not None:
        target = found.target(environment or bound_for(feature))
        where = namespace or target.environment.namespace
        job = _start(target, where, feature, image=image, secret=secret)
    elif attach is not None:
        job = attach
        names = [environment] if environment else list(found.release.environments)
        target, where = _found(found, attach, names, namespace)
    _say(f"deploy {job} in {target.environment.context}/{where}")
    status = _follow(target.connection, where, job)
    sys.exit(_fetch(target.connection, where, job, status, reports))


def _found(source: Source, job: str, names: Sequence[str], namespace: str | None) -> tuple[Target, str]:
    """Return where the Job is."""
    from pytest_deploy.incluster import launch

    looked = []
    for name in names:
        target = source.target(name)
        where = namespace or target.environment.namespace
        if launch.is_there(target.connection, where, job):
            return target, where
        looked.append(f"{target.environment.context}/{where}")
    raise Refused(
        f"there is no deploy {job} in {', '.join(looked)}",
        hint="is it the id that run --in-cluster printed? It is removed a week after its end; or add --namespace NS",
    )


def _start(target: Target, namespace: str, feature: Path, *, image: str | None, secret: str | None) -> str:
    from pytest_deploy.incluster import launch, objects
    from pytest_deploy.io import person
    from pytest_deploy.io.clock import SystemClock

    reference = image or (target.source.node.image if target.source.node else None)
    if reference is None:
        raise Refused("which image the Job runs is not said", hint="make image, push it, then: --image REPO@sha256:...")
    place = target.place(namespace)
    packed, inside = target.packed(feature)
    job = f"{SystemClock().now():%Y%m%d-%H%M%S}-{place.release[:30].rstrip('-')}-{secrets.token_hex(2)}"
    pod = objects.Pod(
        name=objects.job_name(job),
        image=reference,
        arguments=("deploy", inside),
        environ={name: os.environ[name] for name in _WHO if os.environ.get(name)},
        secret=secret,
    )
    made = objects.job(place, pod, by=person.who(os.environ))
    launch.start(target.connection, place, job, packed, job=made, say=_say)
    return job


def _follow(connection: Connection, namespace: str, job: str) -> int | None:
    from pytest_deploy.incluster import launch
    from pytest_deploy.incluster.follow import JobInCluster, follow
    from pytest_deploy.incluster.objects import job_name
    from pytest_deploy.io.clock import SystemClock

    watched = JobInCluster(connection, namespace, job_name(job))
    try:
        return follow(watched, clock=SystemClock(), out=click.echo, say=_say)
    except WaitTimedOut as error:
        launch.give_up(connection, namespace, job_name(job))
        raise Refused(error.args[0], hint=error.hint) from error
    except KeyboardInterrupt:
        _say("the deploy goes on in the cluster; it is not stopped from here")
        _say(f"  follow it:  pytest-deploy run --in-cluster --attach {job}")
        _say(f"  stop it:    kubectl -n {namespace} delete pod -l batch.kubernetes.io/job-name={job_name(job)}")
        raise


def _fetch(connection: Connection, namespace: str, job: str, status: int | None, reports: Path) -> int:
    """Write the report down here, and return the deploy's exit status: the pod's, else the report's."""
    from pytest_deploy.incluster import launch
    from pytest_deploy.incluster.objects import job_name

    found = launch.left(connection, namespace, job_name(job))
    if found is None:
        _say("the deploy left no report: its pod was ended before it could; what is open: pytest-deploy status")
        return 3 if status is None else status
    folder = reports / (found.deploy_id or job_name(job))
    for name, content in found.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if found.left_out:
        _say(f"too large for the report in the cluster: {', '.join(found.left_out)}")
    _say(f"report: {folder}" if found.files else "the deploy wrote no report")
    return found.status if status is None else status


def _say(text: str) -> None:
    click.echo(f"pytest-deploy: {text}", err=True)
