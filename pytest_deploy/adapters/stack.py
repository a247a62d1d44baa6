"""Signs of other stacks: files of the repository, and marks on the objects that are live."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_deploy.adapters.repository import signs
from pytest_deploy.domain.stack import Sign, marks

if TYPE_CHECKING:
    from pytest_deploy.domain.release import Environment
    from pytest_deploy.io.kube import KubeApi

__all__ = ["ServiceStack"]

_KINDS = (
    ("/apis/argoproj.io/v1alpha1", "rollouts"),
    ("/apis/apps/v1", "deployments"),
    ("/api/v1", "services"),
)
_NOT_SEEN = (403, 404)
"""Not there, or not for this account: what it may not even see it will not install either."""


class ServiceStack:
    """Port ``Stack`` on a folder and real API servers.

    Args:
        folder: of deploy.yaml.
    """

    def __init__(self, folder: Path, api: KubeApi) -> None:
        self._folder = folder
        self._api = api

    def files(self) -> tuple[Sign, ...]:
        """Return what the files tell."""
        return signs(self._folder)

    def live(self, environment: Environment) -> tuple[Sign, ...] | None:
        """Return the marks on Rollout, Deployment and Service of the environment; None where none of them is there.

        Raises:
            Refused: no such context.
            RemoteError: no answer.
        """
        connection = self._api.at(environment.context, environment.kubeconfig)
        found: list[Sign] = []
        there = False
        for group, resource in _KINDS:
            path = f"{group}/namespaces/{environment.namespace}/{resource}/{environment.rollout}"
            reply = connection.read(path, accept=_NOT_SEEN)
            if reply.status not in _NOT_SEEN:
                there = True
                found += marks(reply.body)
        return tuple({sign.tool: sign for sign in reversed(found)}.values()) if there else None
