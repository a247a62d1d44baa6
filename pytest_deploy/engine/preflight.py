"""Pre-flight: what must be true before anything is changed, and what undo will go back to.

Each check runs once; whatever the feature does not ask for is made up for by ``ensure`` before the first write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pytest_deploy.domain.action import HelmRollback, HelmUninstall, HelmUpgrade, Json, Target
from pytest_deploy.domain.event import KnownGoodCaptured
from pytest_deploy.domain.manifests import config_changes, container_image, find_rollout, rollout_steps
from pytest_deploy.domain.patches import abort
from pytest_deploy.domain.plan import mending_yaml, rollout_problems
from pytest_deploy.domain.release import Digest, Environment, Strategy
from pytest_deploy.domain.rollout import HelmRevision, KnownGood, Permission, RolloutState, Step
from pytest_deploy.domain.upgrade import upgrade as upgrade_of
from pytest_deploy.engine import enough, measurable, turn
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.errors import Refused

__all__ = ["account", "cluster", "ensure", "metrics", "release_status", "stack", "upgrade"]

_UNKNOWN_DIGEST = Digest("sha256:" + "0" * 64)
"""Stands for the digest while the chart is rendered before the image is built."""


def stack(deploy: Deploy) -> None:
    """Check that this deploy knows how to drive what is there: strategy, Helm, Rollout, steps.

    Raises:
        LockHeld: another deploy of this release is open.
        Refused: with the way out; nothing was changed.
    """
    if not _first(deploy, "stack"):
        return
    turn.wait(deploy)
    if deploy.release.strategy is not Strategy.CANARY:
        raise Refused(
            f"strategy {deploy.release.strategy} is not built yet", hint="use strategy: canary in deploy.yaml"
        )
    state = _rollout(deploy)
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


def cluster(deploy: Deploy) -> None:
    """Check that the cluster that answers is the expected one, and record which it is.

    Raises:
        Refused: another server answers than deploy.yaml expects.
        Unreachable: none answers.
    """
    if not _first(deploy, "cluster"):
        return
    env = deploy.environment
    identity = deploy.ports.cluster.identity(env)
    if env.server is not None and identity.server.rstrip("/") != env.server.rstrip("/"):
        raise Refused(
            f"context {env.context} leads to {identity.server}, deploy.yaml expects {env.server} for {env.name}",
            hint=f"correct the kubeconfig, or environments.{env.name}.server",
        )
    uid = identity.uid or "not readable"
    deploy.fact("cluster", f"{identity.server} (Kubernetes {identity.version}, kube-system uid {uid})")
    pinned = "as expected" if env.server else f"environments.{env.name}.server is not set, so only the context says so"
    deploy.found(f"{identity.server}, Kubernetes {identity.version}; {pinned}")


def release_status(deploy: Deploy) -> None:
    """Check that Helm's release is at rest, and capture what undo goes back to.

    Raises:
        LockHeld: another deploy of this release is open.
        Refused: the release is pending or failed, or was never installed; with the command that mends it.
    """
    if not _first(deploy, "release"):
        return
    turn.wait(deploy)
    state = _rollout(deploy)
    release = deploy.release_target()
    revision = None if release is None else _revision_at_rest(deploy, release)
    stable = state.stable
    if stable is None or not state.promoted:
        raise Refused(f"{state.name} has no stable version to go back to: {state.words}", hint="let it settle first")
    deploy.base_revision = revision or 0
    deploy.known_good = KnownGood(revision=revision, image=stable.image, template_hash=stable.template_hash)
    clock = deploy.ports.clock
    deploy.emit(KnownGoodCaptured(at=clock.now(), known_good=deploy.known_good, environment=deploy.environment.name))
    deploy.fact("old_image", stable.image)
    if revision is not None:
        deploy.fact("revision_before", str(revision))
    at = "no Helm release" if revision is None else f"Helm revision {revision}, deployed"
    deploy.found(f"known good: {at}, {stable.image}, {stable.ready} of {state.replicas} pods ready")


def account(deploy: Deploy) -> None:
    """Check that the account may do, and undo, all that this deploy does.

    Raises:
        Refused: naming every verb that is missing.
    """
    needed = list(_permissions(deploy))
    denied = deploy.ports.cluster.denied(deploy.environment, needed)
    if denied:
        raise Refused(
            f"the deploy account may not: {'; '.join(map(str, denied))}",
            hint=f"grant these verbs in namespace {deploy.environment.namespace} (a Role; never cluster-admin)",
        )
    deploy.found(f"{len(needed)} permissions, rollback's included")


def metrics(deploy: Deploy) -> None:
    """Check that each gate finds its metrics, and will have requests enough.

    Raises:
        Refused: a gate could never be judged, or never pass; nothing was changed.
    """
    if _first(deploy, "metrics"):
        release_status(deploy)
        measurable.gates_can_be_judged(deploy)
        enough.check(deploy)


def ensure(deploy: Deploy) -> None:
    """Make up for what the feature did not ask: nothing is written before all of it holds.

    Raises:
        Refused: see the checks; also when the image that is to be deployed runs already.
    """
    cluster(deploy)
    stack(deploy)
    release_status(deploy)
    metrics(deploy)
    good = deploy.known_good
    if good is not None and good.image == deploy.image.pinned:
        raise Refused(
            f"{good.image} is live already: there is nothing to deploy, and no canary would start",
            hint="deploy another digest; for a change of values alone there is no canary to judge yet",
        )


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


def _first(deploy: Deploy, check: str) -> bool:
    new = check not in deploy.checked
    deploy.checked.add(check)
    return new


def _rollout(deploy: Deploy) -> RolloutState:
    target = deploy.rollout_target()
    state = deploy.ports.traffic.state(target)
    if state is None:
        raise Refused(
            f"there is no Rollout {target}",
            hint="a canary is a change of what runs: install the release once (helm install), or name the Rollout "
            f"in environments.{deploy.environment.name}.rollout",
        )
    return state


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
    digest = deploy.digest or _UNKNOWN_DIGEST
    pinned = deploy.release.image.with_digest(digest).pinned
    rendered = deploy.ports.helm.render(upgrade(deploy, env, digest=digest, base_revision=0))
    rollout = find_rollout(rendered, env.rollout)
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
    for text in config_changes(live, rendered, env.rollout):
        deploy.warn(text)
    return rollout_steps(rollout)


def _revision_at_rest(deploy: Deploy, release: Target) -> int:
    history = deploy.ports.helm.history(release)
    if not history:
        raise Refused(
            f"Helm has no release {release}",
            hint="install it once (helm install); a first deploy has nothing to compare with or to go back to",
        )
    last, good = history[-1], _last_good(history)
    if last.status == "deployed":
        return last.number
    way_out = (
        HelmRollback(target=release, revision=good.number, timeout=deploy.limits.rollback)
        if good is not None
        else HelmUninstall(target=release, timeout=deploy.limits.rollback)
    )
    state = "pending: another operation runs or died" if last.pending else "not at rest"
    raise Refused(
        f"release {release} is {state}: revision {last.number} is {last.status} ({last.description}, {last.updated})",
        hint=f"if nobody works on it: {deploy.ports.describe(way_out)}",
    )


def _last_good(history: Sequence[HelmRevision]) -> HelmRevision | None:
    return next((r for r in reversed(history) if r.status in {"deployed", "superseded"}), None)


def _permissions(deploy: Deploy) -> Iterator[Permission]:
    namespace = deploy.environment.namespace
    wanted = [
        ("argoproj.io", "rollouts", ("get", "list", "watch", "patch")),
        ("argoproj.io", "rollouts/status", ("patch",)),
        ("apps", "replicasets", ("get", "list", "watch")),
        ("", "pods", ("get", "list", "watch")),
        ("", "configmaps", ("get", "create", "update")),  # the journal beside the workload
        ("coordination.k8s.io", "leases", ("get", "create", "update")),  # the lock; its fence is a patch of rollouts
    ]
    if deploy.release_target() is not None:
        wanted += [
            ("", "secrets", ("get", "list", "create", "update", "delete")),
            ("", "services", ("get", "list", "create", "patch", "update")),
            ("", "configmaps", ("list", "patch", "delete")),
            ("argoproj.io", "rollouts", ("create", "update")),
        ]
    for group, resource, verbs in wanted:
        for verb in verbs:
            yield Permission(verb=verb, group=group, resource=resource, namespace=namespace)
