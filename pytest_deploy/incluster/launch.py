"""Makes the Job, with all that it needs, and reads what it left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_deploy.errors import Refused, Rejected
from pytest_deploy.incluster import objects
from pytest_deploy.incluster.report import Left, read_report, report_name

if TYPE_CHECKING:
    from pytest_deploy.domain.action import Json
    from pytest_deploy.incluster.objects import Place
    from pytest_deploy.io.kube import Connection

__all__ = ["give_up", "is_there", "left", "start"]

_RBAC = "/apis/rbac.authorization.k8s.io/v1"


def start(
    connection: Connection,
    place: Place,
    deploy: str,
    packed: bytes,
    *,
    job: Mapping[str, Json],
    say: Callable[[str], None],
) -> None:
    """Make the account with its roles where they are missing or differ, the files and the Job.

    Args:
        job: as ``objects.job`` made it.
        say: is told what could not be brought up to date.

    Raises:
        Refused: a deploy of this release runs already, or the caller may not make what is missing.
        RemoteError: the cluster said no, or nothing.
    """
    active = list(_active(connection, place))
    if active:
        raise Refused(
            f"a deploy of {place.release} runs already in {place.namespace}: {', '.join(active)}",
            hint=f"follow it: pytest-deploy run --in-cluster --attach {active[0]}",
        )
    namespace = f"/api/v1/namespaces/{place.namespace}"
    _ensure(connection, f"{namespace}/serviceaccounts", objects.account(place), (), say)
    for space in place.spaces:
        _ensure(connection, f"{_RBAC}/namespaces/{space}/roles", objects.role(place, space), ("rules",), say)
        binding = objects.role_binding(place, space)
        _ensure(connection, f"{_RBAC}/namespaces/{space}/rolebindings", binding, ("subjects",), say)
    connection.create(f"{namespace}/configmaps", objects.bundle_map(place, objects.job_name(deploy), packed))
    made: Any = connection.create(f"/apis/batch/v1/namespaces/{place.namespace}/jobs", job).body
    owner: list[Json] = [
        {"apiVersion": "batch/v1", "kind": "Job", "name": objects.job_name(deploy), "uid": made["metadata"]["uid"]}
    ]
    # Now the files go when the Job goes.
    operation: Json = {"op": "add", "path": "/metadata/ownerReferences", "value": owner}
    connection.patch(f"{namespace}/configmaps/{objects.job_name(deploy)}", [operation])


def is_there(connection: Connection, namespace: str, deploy: str) -> bool:
    """Tell whether there is a Job of this deploy, running or ended."""
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{objects.job_name(deploy)}"
    return connection.read(path, accept=(404,)).status != 404


def give_up(connection: Connection, namespace: str, job: str) -> None:
    """Let a Job whose pod can't start fail, so that no late pull begins a deploy that nobody waits for."""
    operation: Json = {"op": "add", "path": "/spec/activeDeadlineSeconds", "value": 1}
    connection.patch(f"/apis/batch/v1/namespaces/{namespace}/jobs/{job}", [operation])


def left(connection: Connection, namespace: str, job: str) -> Left | None:
    """Return what a Job left; None: no report."""
    reply = connection.read(f"/api/v1/namespaces/{namespace}/configmaps/{report_name(job)}", accept=(404,))
    return None if reply.status == 404 else read_report(reply.body)


def _active(connection: Connection, place: Place) -> Iterator[str]:
    query = {"labelSelector": f"{objects.RELEASE}={place.release}"}
    found: Any = connection.read(f"/apis/batch/v1/namespaces/{place.namespace}/jobs", query).body
    for each in found.get("items") or ():
        conditions = (each.get("status") or {}).get("conditions") or ()
        if not any(it["type"] in {"Complete", "Failed"} and it["status"] == "True" for it in conditions):
            yield each["metadata"]["name"].removeprefix(objects.job_name(""))


def _ensure(
    connection: Connection,
    path: str,
    wanted: Mapping[str, Json],
    fields: Sequence[str],
    say: Callable[[str], None],
) -> None:
    """Make an object, or bring the fields that matter up to date."""
    metadata: Any = wanted["metadata"]
    what = f"{wanted['kind']} {metadata['name']} in {metadata['namespace']}"
    seen: Any = connection.read(f"{path}/{metadata['name']}", accept=(404,))
    try:
        if seen.status == 404:
            connection.create(path, wanted)
        elif any(seen.body.get(field) != wanted[field] for field in fields):
            connection.replace(
                f"{path}/{metadata['name']}", {**seen.body, **{field: wanted[field] for field in fields}}
            )
    except Rejected as error:
        if seen.status == 404:
            raise Refused(
                f"{what} is missing and can't be made: {error.args[0]}",
                hint="let an administrator make it once; whoever grants a verb must have it",
            ) from error
        say(f"{what} differs from what this deploy needs, and can't be changed: {error.args[0]}")
