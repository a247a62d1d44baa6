"""Is what is there what this deploy can drive: strategy, Helm, the Rollout and its steps?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_deploy.domain.action import HelmUpgrade, Json
from pytest_deploy.domain.manifests import config_changes, container_image, find_rollout, rollout_steps
from pytest_deploy.domain.patches import abort
from pytest_deploy.domain.plan import mending_yaml, rollout_problems
from pytest_deploy.domain.release import Digest, Environment, Strategy
from pytest_deploy.domain.rollout import RolloutState, Step
from pytest_deploy.domain.upgrade import upgrade as upgrade_of
from pytest_deploy.engine import turn
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.errors import Refused

__all__ = ["drivable", "live_rollout", "planned", "rendered", "upgrade"]

_UNKNOWN_DIGEST = Digest("sha256:" + "0" * 64)
"""Stands for the digest while the chart is rendered before the image is built."""


def drivable(deploy: Deploy) -> None:
    """Check strategy, Helm's version, that the Rollout rests, and that the chart's steps are the feature's.

    Raises:
        LockHeld: another deploy of this release is open.
        Refused: with the way out; nothing was changed.
    """
    turn.wait(deploy)
    if deploy.release.strategy is not Strategy.CANARY:
        raise Refused(
            f"strategy {deploy.release.strategy} is not built yet", hint="use strategy: canary in deploy.yaml"
        )
    state = live_rollout(deploy)
    _check_rests(deploy, state)
    if deploy.release_target() is None:
        steps, source = state.steps, f"the live Rollout {state.name}"
    else:
        helm = deploy.ports.helm.version()
        deploy.fact("helm_version", str(helm))
        steps, source = _check_chart(deploy), f"the Rollout of {deploy.release.chart_path}"
    problems = rollout_problems(deploy.stages, steps) if deploy.stages else ()
    if problems:
        raise Refused(
            f"{source} can't be driven by this feature: {'; '.join(problems)}",
            hint="give the Rollout these steps:\n" + mending_yaml(deploy.stages),
        )
    deploy.found(f"{state.name}: {len(steps)} steps, a pause after each weight; now {state.words}")


def live_rollout(deploy: Deploy) -> RolloutState:
    """Return the Rollout as it is; raises Refused where there is none."""
    target = deploy.rollout_target()
    state = deploy.ports.traffic.state(target)
    if state is None:
        raise Refused(
            f"there is no Rollout {target}",
            hint="a canary is a change of what runs: install the release once (helm install), or name the Rollout "
            f"in environments.{deploy.environment.name}.rollout",
        )
    return state


def upgrade(deploy: Deploy, environment: Environment, *, digest: Digest, base_revision: int) -> HelmUpgrade:
    """Return the ``helm upgrade`` that brings the image to the environment.

    Args:
        base_revision: the release's last revision as it was seen; 0: not installed.
    """
    release = deploy.release_target(environment)
    if release is None:
        raise Refused(
            f"no Helm release owns {environment.rollout} in {environment.name}",
            hint=f"set environments.{environment.name}.release",
        )
    return upgrade_of(
        deploy.release,
        environment,
        release,
        digest=digest,
        base_revision=base_revision,
        timeout=deploy.limits.helm,
        labels=deploy.labels,
    )


def planned(deploy: Deploy, environment: Environment) -> HelmUpgrade:
    """Return the upgrade before it is sent; where the digest is not known yet, with a stand-in."""
    return upgrade(deploy, environment, digest=deploy.digest or _UNKNOWN_DIGEST, base_revision=0)


def rendered(deploy: Deploy, environment: Environment) -> Sequence[Mapping[str, Json]]:
    """Return what the chart renders for the environment; rendered once for each digest."""
    wanted = planned(deploy, environment)
    if wanted not in deploy.rendered:
        deploy.rendered[wanted] = deploy.ports.helm.render(wanted)
    return deploy.rendered[wanted]


def _check_rests(deploy: Deploy, state: RolloutState) -> None:
    if state.observed and state.promoted and not state.aborted and not state.held_by_spec and not state.pauses:
        return
    raise Refused(
        f"{state.name} is not at rest, somebody else may be deploying: {state.words}",
        hint="end that deploy first; to take it back: "
        + deploy.ports.describe(abort(deploy.rollout_target(), template_hash=state.current_hash))
        + ", then helm rollback to the revision before it",
    )


def _check_chart(deploy: Deploy) -> tuple[Step, ...]:
    """Render the chart, check that it carries our image and Rollout, warn of changed configuration."""
    env = deploy.environment
    pinned = deploy.release.image.with_digest(deploy.digest or _UNKNOWN_DIGEST).pinned
    found = rendered(deploy, env)
    rollout = find_rollout(found, env.rollout)
    if rollout is None:
        raise Refused(
            f"the chart {deploy.release.chart_path} renders no Rollout named {env.rollout}",
            hint="a canary needs a Rollout (argoproj.io/v1alpha1) in the chart; for a Deployment use strategy: rolling",
        )
    image = container_image(rollout, env.container)
    if image != pinned:
        raise Refused(
            f"the chart renders image {image!r} for container {env.container!r}, not {pinned!r}",
            hint="use {{ .Values.image.repository }}@{{ .Values.image.digest }} in the Rollout's pod template",
        )
    release = deploy.release_target()
    live: Sequence[Mapping[str, Json]] = deploy.ports.helm.manifest(release) if release is not None else ()
    for text in config_changes(live, found, env.rollout):
        deploy.warn(text)
    return rollout_steps(rollout)
