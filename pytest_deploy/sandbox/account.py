"""The account of a deploy on the sandbox: it has exactly what ``pytest-deploy rbac`` prints, as it should elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pytest_deploy.domain import permissions, roles
from pytest_deploy.domain.release import Digest, Environment, Release
from pytest_deploy.domain.upgrade import release_target, upgrade
from pytest_deploy.errors import ToolFailed, WaitTimedOut
from pytest_deploy.io.process import run
from pytest_deploy.sandbox.tools import toolbox

if TYPE_CHECKING:
    from pytest_deploy.domain.action import Json
    from pytest_deploy.ports import Ports
    from pytest_deploy.sandbox.stack import Stack

__all__ = ["as_deployer", "kubeconfig_of"]

_TOKEN_FOR = "24h"  # noqa: S105 - how long it lives: longer than any deploy here
_KUBECTL_S = 60
_GRANTED_WITHIN = timedelta(seconds=10)
"""The API server's RBAC sees a new binding after a moment."""


def as_deployer(stack: Stack, ports: Ports, release: Release, environment: str) -> Release:
    """Return the release with an account of its own in each environment, in place of the administrator.

    Args:
        ports: the administrator's.
        environment: where the account lives.

    Raises:
        ToolError, RemoteError: it can't be made.
        WaitTimedOut: it was made, and may do nothing.
    """
    home = release.environments[environment]
    name = f"pytest-deploy-{release.service}"
    kubectl = (toolbox().need("kubectl"), "--kubeconfig", str(stack.kubeconfig), "--context", home.context)
    apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    objects: list[Json] = [*_objects(ports, release, name, home.namespace)]
    _run((*kubectl, *apply), stack, json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    token = _run((*kubectl, "create", "token", name, "-n", home.namespace, "--duration", _TOKEN_FOR), stack)
    path = _write_kubeconfig(stack, kubeconfig_of(stack, release, environment), token.strip())
    there = {key: replace(env, kubeconfig=path) for key, env in release.environments.items()}
    _wait_until_granted(ports, there[environment])
    return replace(release, environments=MappingProxyType(there))


def kubeconfig_of(stack: Stack, release: Release, environment: str) -> Path:
    """Return where the kubeconfig of the release's account is, once a deploy to the environment has made it."""
    return stack.folder / f"{release.environments[environment].namespace}.pytest-deploy-{release.service}.kubeconfig"


def _objects(ports: Ports, release: Release, name: str, home: str) -> Iterator[dict[str, Json]]:
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": home}}
    to = roles.subject(f"serviceaccount:{home}/{name}")
    found: Any = ports.helm.crds(str(release.chart_path))
    beyond = permissions.cluster_rules(each["metadata"]["name"] for each in found)
    # Called after its home, too: deploys side by side in several namespaces each have one.
    yield roles.role(f"{name}.{home}", beyond, namespace=None)
    yield roles.binding(f"{name}.{home}", to, namespace=None)
    spaces: dict[str, list[permissions.Rule]] = {}
    for env in release.environments.values():
        spaces.setdefault(env.namespace, []).extend(permissions.rules_of(env, _kinds(ports, release, env)))
    for space, rules in spaces.items():
        # Called after its home here, too: two releases of one service may share a namespace for staging.
        yield roles.role(f"{name}.{home}", rules, namespace=space)
        yield roles.binding(f"{name}.{home}", to, namespace=space)


def _kinds(ports: Ports, release: Release, env: Environment) -> frozenset[tuple[str, str]]:
    target = release_target(env)
    if target is None:
        return frozenset()
    digest = Digest("sha256:" + "0" * 64)  # whatever is deployed, its kinds are these
    planned = upgrade(release, env, target, digest=digest, base_revision=0, timeout=timedelta(minutes=1), labels={})
    return ports.cluster.resources(env, ports.helm.render(planned))


def _run(argv: tuple[str, ...], stack: Stack, stdin: str | None = None) -> str:
    done = run(argv, timeout_s=_KUBECTL_S, env={"KUBECACHEDIR": str(stack.folder / "kubectl")}, stdin=stdin)
    if done.status != 0:
        raise ToolFailed(
            f"the sandbox's deploy account can't be made: {done.stderr.strip()[-2000:]}",
            hint="pytest-deploy sandbox up heals the sandbox",
        )
    return done.stdout


def _write_kubeconfig(stack: Stack, path: Path, token: str) -> Path:
    """Write the administrator's kubeconfig with another user; a new file each time, others may read the old one."""
    facts = json.loads(stack.kubeconfig.read_text("utf-8"))
    facts["users"] = [{"name": path.stem, "user": {"token": token}}]
    for each in facts["contexts"]:
        each["context"]["user"] = path.stem
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_text(json.dumps(facts, indent=2), "utf-8")
    return part.replace(path)


def _wait_until_granted(ports: Ports, env: Environment) -> None:
    needed = permissions.permissions(permissions.rules_of(env, ()), env.namespace)[-1:]
    end = ports.clock.monotonic() + _GRANTED_WITHIN.total_seconds()
    while ports.cluster.denied(env, needed):
        if ports.clock.monotonic() > end:
            raise WaitTimedOut("the sandbox's deploy account may nothing", last_seen=f"denied: {needed[0]}")
        ports.clock.sleep(timedelta(milliseconds=50))
