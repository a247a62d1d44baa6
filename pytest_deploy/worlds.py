"""The three worlds that a deploy can act on, each as ports: real, rehearsed, sandbox."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn, cast

from pytest_deploy.domain.outcome import Mode
from pytest_deploy.errors import DeployError, Refused
from pytest_deploy.real_world import real
from pytest_deploy.wanted import Wanted, World, pinned

if TYPE_CHECKING:
    from pytest_deploy.config.model import DeployConfig
    from pytest_deploy.io.kube import KubeApi
    from pytest_deploy.ports import Metrics
    from pytest_deploy.sandbox.failpoints import Failpoint

__all__ = ["Wanted", "World", "looking", "recovering", "world"]


class _Unasked:
    """In the place of what a way back never asks, so that it needs no secrets: metrics."""

    def __getattr__(self, name: str) -> NoReturn:
        raise DeployError(f"a recovery judges nothing, but was to ask for metrics ({name})")


def world(mode: Mode, wanted: Wanted) -> World:
    """Make the world of this mode.

    Raises:
        Refused: a kube context that does not exist.
        ConfigError: a secret that deploy.yaml names is not there.
        DeployError: the sandbox can't be started.
    """
    if mode is Mode.REHEARSAL:
        from pytest_deploy.rehearsed_world import rehearsed

        return rehearsed(wanted)
    config, release = wanted.config, wanted.release
    if mode is Mode.SANDBOX:
        from pytest_deploy.sandbox import failpoints, up
        from pytest_deploy.sandbox.account import as_deployer
        from pytest_deploy.sandbox.drills import with_faults
        from pytest_deploy.sandbox.seed import seed

        stack = up(say=wanted.say)
        there = replace(
            release,
            image=pinned(release, wanted.deploy_id),
            environments={
                name: replace(env, kubeconfig=stack.kubeconfig) for name, env in release.environments.items()
            },
        )
        point = failpoints.chosen(wanted.environ)
        helm, api = _helm(config), _api(point)
        unasked = cast("Metrics", _Unasked())
        admin = real(replace(wanted, release=there), metrics=unasked, load=None, helm=helm, api=api)
        seed(admin, there)
        there = as_deployer(stack, admin, there, wanted.environment)
        made = _judging(replace(wanted, release=there), prometheus_url=stack.prometheus_url, helm=helm, api=api)
        environment = there.environments[wanted.environment]
        ports = with_faults(stack, made.ports, environment, release.service, config.sections)
        return replace(made, ports=point.armed(ports) if point else ports)
    return _judging(wanted, prometheus_url=None, helm=config.tools.helm, api=_api(None))


def recovering(mode: Mode, wanted: Wanted) -> World:
    """Make the world of a deploy that died, to be recovered: journal and lock are those of ``wanted.deploy_id``.

    The sandbox is left as it is: neither started nor seeded, and its faults stay; the release's environments have
    its kubeconfig already.

    Raises:
        Refused: a kube context that does not exist.
    """
    point: Failpoint | None = None
    helm = wanted.config.tools.helm
    if mode is Mode.SANDBOX:
        from pytest_deploy.sandbox import failpoints

        point, helm = failpoints.chosen(wanted.environ), _helm(wanted.config)
    unasked = cast("Metrics", _Unasked())
    made = real(wanted, metrics=unasked, load=None, helm=helm, api=_api(point))
    if made.of_deploy is None:
        raise Refused(
            f"{wanted.environment} is kept by GitOps (gitops.environments): its deploys leave nothing open",
            hint="revert the commit in the environment repository",
        )
    ports = made.of_deploy(wanted.deploy_id)
    return World(ports=point.armed(ports) if point else ports, release=wanted.release)


def looking(mode: Mode, wanted: Wanted) -> World:
    """Make the world of somebody who only looks; the sandbox is left as it is, neither started nor seeded.

    The release's environments have the sandbox's kubeconfig already; deploys there have an account of their own, so
    that is taken once there is one.

    Raises:
        Refused: a kube context that does not exist, or no sandbox.
        ConfigError: a secret that deploy.yaml names is not there.
    """
    if mode is not Mode.SANDBOX:
        return _judging(wanted, prometheus_url=None, helm=wanted.config.tools.helm, api=_api(None))
    from pytest_deploy import sandbox
    from pytest_deploy.sandbox.account import kubeconfig_of

    stack = sandbox.status("default")
    if stack is None:
        raise Refused("the sandbox is not up", hint="pytest-deploy sandbox up")
    there = wanted.release.environments
    paths = [kubeconfig_of(stack, wanted.release, name) for name in (wanted.environment, *there)]
    account = next((path for path in paths if path.is_file()), stack.kubeconfig)
    there = {name: replace(env, kubeconfig=account) for name, env in there.items()}
    seen = replace(wanted, release=replace(wanted.release, environments=there))
    return _judging(seen, prometheus_url=stack.prometheus_url, helm=_helm(wanted.config), api=_api(None))


def _helm(config: DeployConfig) -> str:
    """Return the Helm of deploy.yaml; by default, and by the names helm3 and helm4, one of the toolchain's."""
    from pytest_deploy.sandbox import toolbox

    name = config.tools.helm
    if "/" in name:
        return name
    return toolbox().need("helm3" if name == "helm" and toolbox().find(name) is None else name)


def _program(name: str) -> str:
    """Return where the toolchain has a program; what it lacks is looked for on PATH when it is run."""
    from pytest_deploy.sandbox import toolbox

    return name if "/" in name else str(toolbox().find(name) or name)


def _without_stand_ins(config: DeployConfig) -> DeployConfig:
    from pytest_deploy.sandbox.stand_ins import STAND_INS

    section = config.approval
    # Said explicitly, somebody is asked there, too: a file needs no server, and a repository is the caller's own.
    asked = section is not None and (section.file is not None or section.github.repository is not None)
    return config.model_copy(update={name: None for name in STAND_INS if name != "approval" or not asked})


def _api(point: Failpoint | None) -> KubeApi:
    from pytest_deploy.io.clock import SystemClock
    from pytest_deploy.io.kube import KubeApi

    clock = SystemClock()
    return KubeApi(clock=clock) if point is None else point.api(clock)


def _judging(wanted: Wanted, *, prometheus_url: str | None, helm: str, api: KubeApi) -> World:
    """Return the world of a deploy that judges: with metrics and load, and the secrets that they need."""
    from pytest_deploy import capabilities, providers
    from pytest_deploy.config.secrets import Secrets
    from pytest_deploy.io.clock import SystemClock

    secrets = Secrets(wanted.environ, wanted.config.folder)
    metrics = providers.metrics(wanted.config, SystemClock(), secrets, prometheus_url=prometheus_url)
    ports = real(wanted, metrics=metrics, load=providers.load(wanted.config, secrets), helm=helm, api=api)
    around = capabilities.Around(
        config=wanted.config if prometheus_url is None else _without_stand_ins(wanted.config),
        release=wanted.release,
        touched=wanted.touched,
        reports=wanted.folder,
        environ=wanted.environ,
        clock=ports.clock,
        secrets=secrets,
        api=api,
        helm=helm,
        program=str if prometheus_url is None else _program,
    )
    ports = capabilities.added(ports, around)
    return World(ports=ports, release=wanted.release, secrets=frozenset(secrets.seen))
