"""The RBAC objects of a deploy account: a Role in each namespace, and apart from it what is read beyond them."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_deploy.domain.action import Json
from pytest_deploy.domain.permissions import Rule

__all__ = ["binding", "role", "subject"]

_API = "rbac.authorization.k8s.io"
_LABELS: dict[str, Json] = {"app.kubernetes.io/managed-by": "pytest-deploy"}


def role(name: str, rules: Iterable[Rule], *, namespace: str | None) -> dict[str, Json]:
    """Return a Role; namespace None: a ClusterRole."""
    written: list[Json] = [rule.manifest() for rule in rules]
    return {
        "apiVersion": f"{_API}/v1",
        "kind": "ClusterRole" if namespace is None else "Role",
        "metadata": _metadata(name, namespace),
        "rules": written,
    }


def binding(name: str, to: dict[str, Json], *, namespace: str | None) -> dict[str, Json]:
    """Return what gives somebody the role of the same name; namespace None: the ClusterRole.

    Args:
        to: as ``subject`` makes it.
    """
    kind = "ClusterRole" if namespace is None else "Role"
    return {
        "apiVersion": f"{_API}/v1",
        "kind": f"{kind}Binding",
        "metadata": _metadata(name, namespace),
        "subjects": [to],
        "roleRef": {"apiGroup": _API, "kind": kind, "name": name},
    }


def subject(text: str) -> dict[str, Json]:
    """Return whom ``user:NAME``, ``group:NAME`` or ``serviceaccount:NAMESPACE/NAME`` means.

    Raises:
        ValueError: it is none of these.
    """
    kind, _, name = text.partition(":")
    if kind in {"user", "group"} and name:
        return {"apiGroup": _API, "kind": kind.capitalize(), "name": name}
    space, slash, account = name.partition("/")
    if kind == "serviceaccount" and space and slash and account and "/" not in account:
        return {"kind": "ServiceAccount", "namespace": space, "name": account}
    msg = f"{text!r} is none of user:NAME, group:NAME and serviceaccount:NAMESPACE/NAME"
    raise ValueError(msg)


def _metadata(name: str, namespace: str | None) -> dict[str, Json]:
    where: dict[str, Json] = {} if namespace is None else {"namespace": namespace}
    return {"name": name, **where, "labels": _LABELS}
