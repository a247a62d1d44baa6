"""Is the cluster that answers the one that is meant? A context's name proves nothing."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.rollout import ClusterIdentity
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.errors import Refused

__all__ = ["expected"]

_OLDEST = (1, 28)
"""The oldest server whose SelfSubjectReview (v1) tells who we are; Kubernetes itself supports the last three minors."""


def expected(deploy: Deploy) -> None:
    """Check the server, its authority, the UID of kube-system and the version; record which cluster it is.

    Raises:
        Refused: one of them is another than deploy.yaml expects, or the server is too old.
    """
    env = deploy.environment
    identity = deploy.ports.cluster.identity(env)
    uid = identity.uid or "not readable"
    deploy.fact("cluster", f"{identity.server} (Kubernetes {identity.version}, kube-system uid {uid})")
    wrong = list(_differences(env, identity))
    if wrong:
        raise Refused(
            f"context {env.context} leads to another cluster than deploy.yaml expects for {env.name}: "
            + "; ".join(text for text, _ in wrong),
            hint="correct the kubeconfig, or " + ", ".join(f"environments.{env.name}.{key}" for _, key in wrong),
        )
    if identity.minor is not None and identity.minor < _OLDEST:
        raise Refused(
            f"{identity.server} runs Kubernetes {identity.version}, a deploy needs 1.{_OLDEST[1]} or later",
            hint="upgrade the cluster, or deploy there as before",
        )
    deploy.found(f"{identity.server}, Kubernetes {identity.version}; {_pinned(env, identity)}")


def _differences(env: Environment, seen: ClusterIdentity) -> Iterator[tuple[str, str]]:
    """Yield what differs, and the key of deploy.yaml that expects it."""
    if env.server is not None and seen.server.rstrip("/") != env.server.rstrip("/"):
        yield f"the server is {seen.server}, not {env.server}", "server"
    if env.ca_sha256 is not None and seen.ca != env.ca_sha256.lower():
        what = "the machine's own authorities vouch for it" if seen.ca is None else f"its authority is {seen.ca}"
        yield f"{what}, not {env.ca_sha256}", "ca_sha256"
    if env.kube_system_uid is not None and seen.uid != env.kube_system_uid:
        what = "may not be read (pytest-deploy rbac prints the rule)" if seen.uid is None else f"is {seen.uid}"
        yield f"the uid of its kube-system {what}, not {env.kube_system_uid}", "kube_system_uid"


def _pinned(env: Environment, seen: ClusterIdentity) -> str:
    """Say what was compared and, where nothing was, what would pin this cluster."""
    compared = {"server": env.server, "ca_sha256": env.ca_sha256, "kube_system_uid": env.kube_system_uid}
    names = [key for key, value in compared.items() if value is not None]
    if names:
        return f"{', '.join(names)} as expected"
    there = {"server": seen.server, "ca_sha256": seen.ca, "kube_system_uid": seen.uid}
    lines = ", ".join(f"{key}: {value}" for key, value in there.items() if value)
    return f"only the context's name says so; environments.{env.name} pins it with {lines}"
