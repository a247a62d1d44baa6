"""The whole of what ``plan`` shows: made from one look at each environment, and without secrets."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_deploy.domain.outcome import Mode
from pytest_deploy.engine import plan as engine_plan
from pytest_deploy.engine.deploy import Deploy, Limits
from pytest_deploy.plan.look import Told, look, stand_in, tell
from pytest_deploy.plan.mask import Masker, secret_values
from pytest_deploy.steps.outline import place_of
from pytest_deploy.worlds import Wanted, World, looking

if TYPE_CHECKING:
    from pytest_deploy.domain.release import Environment
    from pytest_deploy.prepare import Prepared

__all__ = ["Whole", "made"]

_ID = "<deploy-id>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """All that is shown; without secrets.

    Args:
        words: of the whole, a sentence each.
        lines: the plan.
    """

    title: str
    facts: Mapping[str, str]
    words: tuple[str, ...]
    lines: tuple[str, ...]
    environments: tuple[Told, ...]

    @property
    def status(self) -> int:
        """Of what could not be looked at, by the order of the README: 3 before 4."""
        return min((told.status for told in self.environments if told.status), default=0)

    def to_json(self) -> dict[str, object]:
        """Return it for machines."""
        return {
            **self.facts,
            "words": list(self.words),
            "plan": list(self.lines),
            "environments": [
                {
                    "name": told.environment.name,
                    "context": told.environment.context,
                    "namespace": told.environment.namespace,
                    "release": told.environment.release,
                    "revision": told.revision,
                    "words": list(told.words),
                    "problem": told.problem or None,
                    "changes": [
                        {"object": each.name, "change": str(each.kind), "diff": "\n".join(each.diff)}
                        for each in told.changes
                    ],
                }
                for told in self.environments
            ],
        }


def made(prepared: Prepared) -> Whole:
    """Look at each environment that the feature touches, and return the plan; nothing is written.

    Raises:
        Refused: a kube context that does not exist, or no sandbox.
        ConfigError: a secret that deploy.yaml names is not there.
        ToolError: Helm does not tell its version.
    """
    # The local journal is not written by somebody who only looks; its folder must be somewhere all the same.
    with tempfile.TemporaryDirectory(prefix="pytest-deploy-plan-") as folder:
        wanted = Wanted(
            config=prepared.config,
            release=prepared.release,
            environment=prepared.environment.name,
            folder=Path(folder),
            deploy_id="plan",
            environ=os.environ,
            say=lambda _: None,
            candidate=prepared.candidate,
            installs=prepared.installs,
        )
        world = looking(prepared.options.mode, wanted)
        deploy = _deploy(prepared, world)
        touched = _touched(deploy)
        with ThreadPoolExecutor(max_workers=len(touched) + 1) as pool:
            lines = pool.submit(lambda: tuple(engine_plan.lines(deploy)))
            looks = list(pool.map(lambda env: look(deploy, env), touched))
        unknown = {digest for env in touched if (digest := stand_in(deploy, env)) is not None}
        held = [each for seen in looks for side in (seen.live, seen.planned) for each in side]
        masker = Masker(
            {*world.secrets, *secret_values(held)},
            public=_public(deploy),
            rewrite=dict.fromkeys(unknown, "<digest>"),
        )
        return Whole(
            title=_title(prepared, deploy, masker),
            facts={
                "feature": str(prepared.feature),
                "mode": str(deploy.mode),
                "service": deploy.release.service,
                "environment": deploy.environment.name,
                "image": str(deploy.release.image),
            },
            words=tuple(map(masker, _words(deploy))),
            lines=tuple(map(masker, lines.result())),
            environments=tuple(tell(deploy, seen, masker) for seen in looks),
        )


def _deploy(prepared: Prepared, world: World) -> Deploy:
    """Return the deploy that the feature would be; it is never begun, and tells nobody."""
    timeouts = prepared.config.timeouts
    return Deploy(
        id=_ID,
        mode=prepared.options.mode,
        release=world.release,
        environment=world.release.environments[prepared.environment.name],
        slo=prepared.config.slo,
        stages=prepared.stages,
        limits=Limits(helm=timeouts.helm, step=timeouts.step, rollback=timeouts.rollback),
        judge=prepared.config.gate.rules,
        policy=prepared.config.gate.policy,
        ports=world.ports,
        emit=lambda _: None,
        labels={"deploy-id": _ID},
        drill=prepared.drill,
        installs=prepared.installs,
    )


def _touched(deploy: Deploy) -> list[Environment]:
    """Return the environments that the plan writes to, in its order."""
    there = deploy.release.environments
    names = [name for name in deploy.installs if name in there]
    gitops = deploy.ports.gitops
    committed = gitops is not None and gitops.covers(deploy.environment.name)
    if deploy.stages or committed:
        names.append(deploy.environment.name)
    return [there[name] for name in dict.fromkeys(names)]


def _public(deploy: Deploy) -> set[str]:
    """Return what deploy.yaml calls things: no secret, although a Secret may hold the service's name as a user."""
    release = deploy.release
    names = {release.service, release.owner, *release.environments}
    for env in release.environments.values():
        names |= {env.context, env.namespace, env.release or "", env.rollout, env.container}
    return names


def _words(deploy: Deploy) -> Iterator[str]:
    if not deploy.stages and not deploy.installs:
        yield "no Helm command and no patch: this feature installs nothing and gives no canary any traffic"
    if deploy.digest is not None:
        return
    if deploy.ports.builder is not None:
        yield "<digest> is known once the image is built"
    elif deploy.mode is Mode.SANDBOX:
        yield "<digest> is made up by each deploy to the sandbox, where no image is pulled"
    else:
        name = deploy.release.image.repository
        yield (
            f"<digest> is known to nobody: it is neither built here nor given, so the deploy would be refused; give it "
            f"pinned, image: {name}@sha256:..., or switch the build on with a 'build' section"
        )


def _title(prepared: Prepared, deploy: Deploy, masker: Masker) -> str:
    name = place_of(prepared.feature, 1, prepared.options.root).rpartition(":")[0]
    label = "SANDBOX: " if deploy.mode is Mode.SANDBOX else ""
    env = deploy.environment
    return masker(
        f"{label}plan of {name}: {deploy.release.service} to {env.name} ({env.context}/{env.namespace}), "
        f"image {deploy.release.image}; nothing is written"
    )
