"""What of a release lies in which cluster, and what a pod there is given to deploy it, or to look after it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_deploy.adapters.kubernetes import resources
from pytest_deploy.errors import Refused
from pytest_deploy.incluster import bundle
from pytest_deploy.incluster.objects import Place

if TYPE_CHECKING:
    from pytest_deploy.config.model import DeployConfig
    from pytest_deploy.domain.action import Json
    from pytest_deploy.domain.release import Environment, Release
    from pytest_deploy.io.kube import Connection

__all__ = ["RealNode", "Source", "Target", "bound_for", "source"]

_BOUND = re.compile(r'^\s*(?:Given|And|\*) the release "[^"]+" of deploy.yaml, bound for "([^"]+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RealNode:
    """A sandbox that is up with a real node.

    Args:
        image: of pytest-deploy, as ``make image`` names it and ``sandbox load`` gives it.
    """

    kubeconfig: Path
    prometheus_url: str
    image: str

    @classmethod
    def of(cls, name: str) -> RealNode:
        """Return the sandbox of this name; raises Refused where it is not up, or its pods run nothing."""
        from importlib.metadata import version

        from pytest_deploy import sandbox

        stack = sandbox.status(name)
        if stack is None or stack.backend != "node":
            seen = "not up" if stack is None else f"up with the back end {stack.backend}, whose pods can't run it"
            raise Refused(f"sandbox {name} is {seen}", hint=f"pytest-deploy sandbox up --backend node --name {name}")
        return cls(
            kubeconfig=stack.kubeconfig,
            prometheus_url=stack.prometheus_url,
            image=f"pytest-deploy.local/pytest-deploy:{version('pytest-deploy')}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A deploy.yaml, loaded.

    Args:
        overrides: all that apply, the sandbox's included.
        connections: of each environment whose context is known here.
        node: the sandbox; None: the real clusters.
    """

    path: Path
    config: DeployConfig
    release: Release
    overrides: tuple[str, ...]
    connections: Mapping[str, Connection]
    node: RealNode | None

    def target(self, name: str | None) -> Target:
        """Return one environment and its cluster; raises Refused where there is none, or its context is not known."""
        from pytest_deploy.io.clock import SystemClock
        from pytest_deploy.io.kube import KubeApi

        if name is None or name not in self.release.environments:
            known = ", ".join(self.release.environments)
            raise Refused(f"environment {name!r} is none of deploy.yaml's: {known}", hint="add --environment NAME")
        env = self.release.environments[name]
        connection = self.connections.get(name) or KubeApi(clock=SystemClock()).at(env.context, env.kubeconfig)
        return Target(source=self, environment=env, connection=connection)


@dataclass(frozen=True, kw_only=True)
class Target:
    """One environment of a release, and its cluster."""

    source: Source
    environment: Environment
    connection: Connection

    @cached_property
    def here(self) -> tuple[Environment, ...]:
        """The environments in this cluster: a pod's account reaches no other."""
        server, known = self.connection.server, self.source.connections
        environments = self.source.release.environments.items()
        return tuple(env for name, env in environments if name in known and known[name].server == server)

    def place(self, namespace: str) -> Place:
        """Return where the pod runs and what its account may do there and beside the workloads.

        Raises:
            Refused: a context leads to another server than deploy.yaml expects: in the pod it could not be compared.
            ToolError: the chart can't be rendered; which kinds it holds decides what the account may write.
        """
        for env in self.here:
            server = self.source.connections[env.name].server
            if env.server is not None and env.server.rstrip("/") != server.rstrip("/"):
                raise Refused(
                    f"context {env.context} leads to {server}, deploy.yaml expects {env.server} for {env.name}",
                    hint=f"correct the kubeconfig, or environments.{env.name}.server",
                )
        return Place(
            namespace=namespace,
            release=self.environment.release or self.environment.rollout,
            spaces=tuple(dict.fromkeys((namespace, *(each.namespace for each in self.here)))),
            resources=resources(self.connection, self._rendered()),
            helm=self.environment.release is not None,
            workloads=tuple(dict.fromkeys(env.release or env.rollout for env in self.here)),
        )

    def packed(self, feature: Path | None) -> tuple[bytes, str]:
        """Return what the pod is given, and the feature's path in it; raises Refused where it is too large."""
        here = [env.name for env in self.here]
        return bundle.pack(self.source.path, self.source.overrides, self.source.release, here, feature)

    def _rendered(self) -> tuple[Mapping[str, Json], ...]:
        from pytest_deploy.adapters.helm import HelmCli
        from pytest_deploy.domain.release import Digest
        from pytest_deploy.domain.upgrade import release_target, upgrade
        from pytest_deploy.io.clock import SystemClock
        from pytest_deploy.sandbox import toolbox

        owner = release_target(self.environment)
        if owner is None:
            return ()
        helm = self.source.config.tools.helm
        if self.source.node is not None and "/" not in helm:
            helm = toolbox().need("helm3" if helm == "helm" else helm)
        wanted = upgrade(
            self.source.release,
            self.environment,
            owner,
            digest=Digest("sha256:" + "0" * 64),  # whatever is deployed, its kinds are these
            base_revision=0,
            timeout=timedelta(minutes=1),
            labels={},
        )
        return HelmCli(helm, clock=SystemClock()).render(wanted)


def source(config: Path | None, feature: Path | None, overrides: tuple[str, ...], node: RealNode | None) -> Source:
    """Load deploy.yaml and open the way to its clusters; nothing is sent yet.

    Args:
        config: None: looked up from the feature's folder upwards, else from the working folder; for a sandbox its
            own file, deploy.sandbox.yaml.

    Raises:
        ConfigError: there is none, or it is wrong.
    """
    from pytest_deploy.config.load import find, load
    from pytest_deploy.io.clock import SystemClock
    from pytest_deploy.io.kube import KubeApi

    path = config or find(feature or Path.cwd(), "deploy.sandbox.yaml" if node else "deploy.yaml")
    if node is not None:
        overrides = (*overrides, f"metrics.prometheus.url={node.prometheus_url}")
    loaded = load(path, overrides=overrides)
    release = loaded.release()
    if node is not None:
        there = {name: replace(env, kubeconfig=node.kubeconfig) for name, env in release.environments.items()}
        release = replace(release, environments=there)
    api = KubeApi(clock=SystemClock())
    connections: dict[str, Connection] = {}
    for name, env in release.environments.items():
        with suppress(Refused):  # another environment's cluster need not be known here; ``target`` tells of the wanted
            connections[name] = api.at(env.context, env.kubeconfig)
    return Source(path=path, config=loaded, release=release, overrides=overrides, connections=connections, node=node)


def bound_for(feature: Path) -> str | None:
    """Return the environment that the feature's text names; None where it names none."""
    found = _BOUND.search(feature.read_text("utf-8"))
    return found[1] if found else None
