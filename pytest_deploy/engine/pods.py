"""Pods that can't serve: why, in Kubernetes' own words, as soon as it is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pytest_deploy.domain.action import Target
from pytest_deploy.domain.found import Found
from pytest_deploy.domain.rollout import Pod, RolloutState
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.errors import DeployError, GateBreach, WaitTimedOut

__all__ = ["explaining", "look"]

Mine = Callable[[Pod], bool]


def look(
    deploy: Deploy, target: Target, state: RolloutState | None, mine: Mine, *, which: str, at: str | None = None
) -> tuple[Pod, ...]:
    """Return the pods of the rollout; one of ours that can't run, or can't be created, ends the step at once.

    Args:
        state: a look of the same moment; None: whether all were created is not asked.
        mine: whether a pod is of the version that is brought.
        which: names them in the error ("staging", "the new version").
        at: the error's ``at``.

    Raises:
        GateBreach: with the reason; the end of its log and its events are attached.
    """
    pods = deploy.ports.cluster.pods(target, deploy.release.service)
    for pod in pods:
        if pod.trouble and mine(pod):
            found = _last_words(deploy, target, pod)
            raise GateBreach(
                f"{which}: pod {pod.name} can't run: {pod.trouble}{_more(found)}\n  next: mend that; as long as it "
                f"is there: kubectl --context {target.context} -n {target.namespace} describe pod {pod.name}",
                cause=_cause(pod.trouble),
                at=at,
                attachments=found.attachments,
            )
    version = None if state is None or not state.observed else state.version(state.current_hash)
    if version is not None and version.wanted > sum(pod.template_hash == version.template_hash for pod in pods):
        why = deploy.ports.cluster.blocked(target)
        if why:
            raise GateBreach(f"{which}: pods can't be created: {why}", cause="pods not created", at=at)
    return pods


@contextmanager
def explaining(deploy: Deploy, target: Target, mine: Mine) -> Iterator[None]:
    """Let a wait that times out tell what the first pod of ours that is not ready says of itself."""
    try:
        yield
    except WaitTimedOut as late:
        with suppress(DeployError):
            found = deploy.ports.cluster.pods(target, deploy.release.service)
            stuck = next((pod for pod in found if mine(pod) and not pod.ready), None)
            if stuck is not None:
                words = _last_words(deploy, target, stuck)
                late.add(f"pod {stuck.name} is not ready{_more(words)}", words.attachments)
        raise


def _last_words(deploy: Deploy, target: Target, pod: Pod) -> Found:
    """What explains a failure must not hide it."""
    with suppress(DeployError):
        return deploy.ports.cluster.last_words(target, pod)
    return Found("")


def _more(found: Found) -> str:
    return f"; {found.words}" if found.words else ""


def _cause(trouble: str) -> str:
    images = ("ImagePull", "ErrImage", "InvalidImageName")
    return "image missing" if any(word in trouble for word in images) else "pods crash"
