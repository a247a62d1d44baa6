"""Read-only access for gates: the metrics that deploy.yaml names and, where it can be reached, the rollout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pytest_deploy import providers
from pytest_deploy.config.model import DeployConfig
from pytest_deploy.config.secrets import Secrets
from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.rollout import RolloutState
from pytest_deploy.domain.upgrade import rollout_target
from pytest_deploy.errors import DeployError, Refused
from pytest_deploy.gate.backtest import AsOf
from pytest_deploy.ports import Clock, Metrics

__all__ = ["Provider", "provider"]


@dataclass(frozen=True, kw_only=True)
class Provider:
    """What may be read.

    Args:
        state: looks at the rollout once; None and the reason where no cluster can be reached.
        as_of: makes the metrics answer as of a time in the past; None: this provider can't.
    """

    metrics: Metrics
    clock: Clock
    state: Callable[[], tuple[RolloutState | None, str]]
    as_of: AsOf | None


def provider(config: DeployConfig, environment: Environment, environ: Mapping[str, str], *, sandbox: bool) -> Provider:
    """Return access to what deploy.yaml names, or to the sandbox that is up.

    Args:
        environ: of the process, for named secrets.

    Raises:
        Refused: no sandbox is up.
        ConfigError: a secret that deploy.yaml names is not there.
    """
    from pytest_deploy.io.clock import SystemClock

    clock = SystemClock()
    url = None
    if sandbox:
        from pytest_deploy.sandbox import status

        stack = status("default")
        if stack is None:
            raise Refused("no sandbox is up", hint="pytest-deploy sandbox up")
        environment, url = replace(environment, kubeconfig=stack.kubeconfig), stack.prometheus_url
    metrics = providers.metrics(config, clock, Secrets(environ, config.folder), prometheus_url=url)
    return Provider(
        metrics=metrics,
        clock=clock,
        state=lambda: _state(environment, clock),
        as_of=getattr(metrics, "as_of", None),
    )


def _state(environment: Environment, clock: Clock) -> tuple[RolloutState | None, str]:
    from pytest_deploy.adapters.argo import ArgoRollouts
    from pytest_deploy.io.kube import KubeApi

    target = rollout_target(environment)
    try:
        api = KubeApi(clock=clock)
        api.at(environment.context, environment.kubeconfig)
        state = ArgoRollouts(api, {environment.name: environment}).state(target)
    except DeployError as error:
        return None, str(error)
    return state, "" if state is not None else f"there is no Rollout {target}"
