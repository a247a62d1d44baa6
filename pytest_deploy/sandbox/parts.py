"""Puts the stack together: control plane, Argo Rollouts, traffic, Prometheus; what is well is left alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pytest_deploy.errors import ToolFailed
from pytest_deploy.io import daemon
from pytest_deploy.io.daemon import Daemon
from pytest_deploy.io.process import run
from pytest_deploy.sandbox import readiness
from pytest_deploy.sandbox.backend import Backend, ControlPlane
from pytest_deploy.sandbox.place import free_ports, ports_chosen
from pytest_deploy.sandbox.scraping import configure
from pytest_deploy.sandbox.stack import HEALTHY, Stack
from pytest_deploy.sandbox.tools import Toolbox

__all__ = ["MARK", "assemble"]

MARK = "PYTEST_DEPLOY_SANDBOX"
"""Every process of a sandbox has this variable, with the sandbox's folder."""

_APPLY_S = 60
_NAMESPACES = ("staging", "prod")


def assemble(
    name: str, folder: Path, backend: Backend, tools: Toolbox, former: Stack | None, say: Callable[[str], None]
) -> Stack:
    """Return a stack whose every part was seen ready.

    Args:
        former: the stack as it was found, with the health of its parts; None: all is made new.

    Raises:
        ToolError: a part is missing, failed or did not become ready.
        Refused: no ports are free.
    """
    build = _Build(folder=folder, tools=tools, former=former)
    state = folder / backend.name
    state.mkdir(exist_ok=True)
    with ports_chosen(folder):
        plane = backend.start(name, state, build.env, say)
        _write_kubeconfig(build.kubeconfig, plane)
        control_url, prometheus_url, controller_url = build.urls(plane.address)
        say("starting the traffic source and Prometheus")
        traffic = build.keep_or_start("traffic", _traffic_argv(build.kubeconfig, control_url))
        prometheus = build.keep_or_start("prometheus", build.prometheus_argv(control_url, prometheus_url))
        say("starting the rollouts controller")
        build.apply(plane)
        controller = build.keep_or_start("rollouts-controller", build.controller_argv(controller_url))
        stack = Stack(
            name=name,
            backend=backend.name,
            folder=folder,
            kubeconfig=build.kubeconfig,
            server=plane.server,
            control_url=control_url,
            prometheus_url=prometheus_url,
            controller_url=controller_url,
            kwok_workdir=state,
            daemons={
                **plane.daemons,
                "rollouts-controller": controller,
                "prometheus": prometheus,
                "traffic": traffic,
            },
        )
        readiness.wait(stack, _NAMESPACES)
    return stack


@dataclass(frozen=True, kw_only=True)
class _Build:
    folder: Path
    tools: Toolbox
    former: Stack | None

    @property
    def env(self) -> Mapping[str, str]:
        return {MARK: str(self.folder)}

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def urls(self, address: str) -> tuple[str, ...]:
        """Return the addresses of traffic source, Prometheus and rollouts controller; they stay over a healing.

        Args:
            address: where pods, too, reach Prometheus.
        """
        if self.former is not None:
            return self.former.control_url, self.former.prometheus_url, self.former.controller_url
        hosts = ("127.0.0.1", address, "127.0.0.1")
        return tuple(f"http://{host}:{port}" for host, port in zip(hosts, free_ports(3), strict=True))

    def keep_or_start(self, component: str, argv: tuple[str, ...]) -> Daemon:
        if self.former is not None and component in self.former.daemons:
            old = self.former.daemons[component]
            if self._is_well(component):
                return old
            daemon.stop([old])
            if component == "rollouts-controller":
                self._forget_leader()
        return daemon.spawn(argv, log=self.folder / f"{component}.log", env=self.env)

    def _is_well(self, component: str) -> bool:
        if self.former is None:
            return False
        found = self.former.components
        # The rollouts controller ends by itself some seconds after the API has gone, so it is started with it.
        needed = (component, "kube-apiserver") if component == "rollouts-controller" else (component,)
        return all(found.get(part) == HEALTHY for part in needed)

    def _forget_leader(self) -> None:
        """Take the lease from a leader that is gone; else its heir waits until it has run out."""
        self._kubectl("delete", "lease", "--ignore-not-found", "-n", readiness.ARGO, readiness.LEASE)

    def apply(self, plane: ControlPlane) -> None:
        namespaces = (
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            for name in (readiness.ARGO, *_NAMESPACES)
        )
        objects = {"apiVersion": "v1", "kind": "List", "items": [*plane.manifests, *namespaces]}
        crds = str(self.tools.need_crds())
        self._kubectl("apply", "--server-side", "--force-conflicts", "-f", crds, "-f", "-", stdin=json.dumps(objects))
        self._kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", crds)

    def _kubectl(self, *arguments: str, stdin: str | None = None) -> None:
        argv = (self.tools.need("kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments)
        done = run(
            argv, timeout_s=_APPLY_S, env={**self.env, "KUBECACHEDIR": str(self.folder / "kubectl")}, stdin=stdin
        )
        if done.status != 0:
            msg = f"kubectl {arguments[0]} ended with status {done.status}: {done.stderr.strip()[-2000:]}"
            raise ToolFailed(msg, hint=f"see the API server's log below {self.folder}")

    def prometheus_argv(self, control_url: str, prometheus_url: str) -> tuple[str, ...]:
        config = configure(self.folder, urlsplit(control_url).netloc)
        return (
            self.tools.need("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'prometheus'}",
            f"--web.listen-address={urlsplit(prometheus_url).netloc}",
            "--log.level=warn",
        )

    def controller_argv(self, controller_url: str) -> tuple[str, ...]:
        return (
            self.tools.need("rollouts-controller"),
            f"--kubeconfig={self.kubeconfig}",
            f"--healthzPort={urlsplit(controller_url).port}",
            f"--metricsPort={free_ports(1)[0]}",
            "--loglevel=warn",
        )


def _traffic_argv(kubeconfig: Path, control_url: str) -> tuple[str, ...]:
    # -P: a folder of that name where the user stands is not the package.
    argv = (sys.executable, "-P", "-m", "pytest_deploy.sandbox.traffic")
    return (*argv, "--kubeconfig", str(kubeconfig), "--port", str(urlsplit(control_url).port))


def _write_kubeconfig(path: Path, plane: ControlPlane) -> None:
    """Write it as JSON, which is YAML, too; current-context is the harmless one."""
    contexts = [
        {"name": f"sandbox-{name}", "context": {"cluster": "sandbox", "user": "sandbox-admin", "namespace": name}}
        for name in _NAMESPACES
    ]
    user = {"client-certificate": str(plane.certificate), "client-key": str(plane.key)}
    facts = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": {"server": plane.server, "certificate-authority": str(plane.ca)}}],
        "users": [{"name": "sandbox-admin", "user": user}],
        "contexts": contexts,
        "current-context": contexts[0]["name"],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(facts, indent=2))
