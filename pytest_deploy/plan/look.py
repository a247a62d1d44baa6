"""Looks at one environment: what its release holds now, what the upgrade would make of it, and what that means."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_deploy.domain.manifests import config_changes, container_image, find_rollout
from pytest_deploy.domain.outcome import Mode
from pytest_deploy.engine.preflight import stacks
from pytest_deploy.errors import ConfigError, DeployError, Refused
from pytest_deploy.plan.diff import Change, Kind, Manifest, changes, is_hook, objects

if TYPE_CHECKING:
    from pytest_deploy.domain.release import Environment
    from pytest_deploy.domain.rollout import HelmRevision
    from pytest_deploy.engine.deploy import Deploy
    from pytest_deploy.plan.mask import Masker

__all__ = ["Look", "Told", "look", "stand_in", "tell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen, with all its secrets: never to be printed before it has been through ``tell``.

    Args:
        history: Helm's revisions of the release, the oldest first.
        instead: why there is nothing to compare; "": there is.
        problem: why it could not be looked at; None: it could.
    """

    environment: Environment
    history: Sequence[HelmRevision] = ()
    live: Sequence[Manifest] = ()
    planned: Sequence[Manifest] = ()
    instead: str = ""
    problem: DeployError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An environment's part of the plan, without secrets.

    Args:
        revision: the Helm revision that is live; None: none is.
        words: what the changes amount to, and what a deploy would make of it; a sentence each.
        problem: why it could not be looked at; "": it could.
        status: the exit status that follows.
    """

    environment: Environment
    revision: int | None
    words: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    problem: str = ""
    status: int = 0


def look(deploy: Deploy, environment: Environment) -> Look:
    """Read what is live and render what would be; nothing is written, and no error stops the other environments."""
    ports, gitops = deploy.ports, deploy.ports.gitops
    if gitops is not None and gitops.covers(environment.name):
        text = "kept by GitOps: a commit brings the digest there, its controller renders the chart, nothing is compared"
        return Look(environment=environment, instead=text)
    try:
        release = deploy.release_target(environment)
        if release is None:
            return Look(environment=environment, instead=_image_alone(deploy, environment))
        return Look(
            environment=environment,
            history=ports.helm.history(release),
            live=ports.helm.manifest(release),
            planned=stacks.rendered(deploy, environment),
        )
    except DeployError as error:
        return Look(environment=environment, problem=error)


def stand_in(deploy: Deploy, environment: Environment) -> str | None:
    """Return the digest that manifests are rendered with while nobody knows the real one; None: it is known."""
    if deploy.digest is not None or deploy.release_target(environment) is None:
        return None
    return str(json.loads(dict(stacks.planned(deploy, environment).values)["image.digest"]))


def tell(deploy: Deploy, seen: Look, masker: Masker) -> Told:
    """Return what was seen, compared, and without secrets."""
    env, error = seen.environment, seen.problem
    if error is not None:
        status = 4 if isinstance(error, Refused | ConfigError) else 3
        return Told(environment=env, revision=None, words=(), problem=masker(str(error)), status=status)
    if seen.instead:
        return Told(environment=env, revision=None, words=(masker(seen.instead),))
    good = next((each for each in reversed(seen.history) if each.status == "deployed"), None)
    found = tuple(changes(seen.live, seen.planned, masker, namespace=env.namespace))
    return Told(
        environment=env,
        revision=None if good is None else good.number,
        words=tuple(masker(text) for text in _words(deploy, seen, good, found)),
        changes=found,
    )


def _words(deploy: Deploy, seen: Look, good: HelmRevision | None, found: Sequence[Change]) -> Iterator[str]:
    env, whole = seen.environment, len(list(objects(seen.planned)))
    canary = bool(deploy.stages) and env.name == deploy.environment.name
    if not seen.history:
        yield f"first install: Helm has no release {env.release} there, all {whole} objects are new"
        if canary and deploy.mode is Mode.SANDBOX:
            yield "a deploy to the sandbox installs an older version first, as a canary needs one that runs"
        elif canary:
            yield "a canary needs a version that runs: pre-flight would refuse it until the release is installed once"
        return
    last, old, new = seen.history[-1], _image(seen.live, env), _image(seen.planned, env)
    if good is None:
        yield f"no revision of {env.release} is deployed: the last is revision {last.number}, {last.status}"
    elif not found:
        yield f"nothing to change: all {whole} objects are as revision {good.number} has them"
    else:
        yield f"{_counts(found)}, of {whole} objects; live is revision {good.number}"
        if old is not None:
            yield f"a change of configuration only: the image stays {old}" if old == new else f"image: {old} -> {new}"
    if canary:
        yield from _of_canary(seen, old, new)
    hooks = sum(map(is_hook, seen.planned))
    if hooks:
        yield f"not compared: {hooks} of Helm's hooks"


def _of_canary(seen: Look, old: str | None, new: str | None) -> Iterator[str]:
    """Yield what keeps a canary from beginning, and what its pods share with those that serve."""
    last = seen.history[-1]
    if old is not None and old == new:
        yield "that image is live already, so no canary would start: the deploy would refuse it before the first write"
    if last.status != "deployed":
        yield f"revision {last.number} is on top, {last.status}: pre-flight would refuse it, and tell how to mend it"
    yield from (f"warning: {text}" for text in config_changes(seen.live, seen.planned, seen.environment.rollout))


def _counts(found: Sequence[Change]) -> str:
    counts = {kind: sum(each.kind is kind for each in found) for kind in Kind}
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)


def _image(manifests: Sequence[Manifest], env: Environment) -> str | None:
    rollout = find_rollout(list(objects(manifests)), env.rollout)
    return None if rollout is None else container_image(rollout, env.container)


def _image_alone(deploy: Deploy, env: Environment) -> str:
    state = deploy.ports.traffic.state(deploy.rollout_target(env))
    new = f"{deploy.release.image.repository}@{deploy.digest or '<digest>'}"
    old = "unknown" if state is None or state.stable is None else state.stable.image
    if old == new:
        return f"nothing to change: no Helm release owns {env.rollout}, and {new} is live already"
    return f"no Helm release owns {env.rollout}: the image of {env.container} changes alone, {old} -> {new}"
