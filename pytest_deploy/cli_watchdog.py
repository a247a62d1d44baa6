"""``pytest-deploy watchdog``: recovers deploys whose process is gone, from a pod beside them or from anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_deploy.errors import Refused

if TYPE_CHECKING:
    from pytest_deploy.domain.action import Json
    from pytest_deploy.incluster.target import Target

__all__ = ["watchdog"]


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: pytest-deploy watchdog --manifest --image REPO@sha256:... | kubectl apply -f -",
)
@click.option("--config", metavar="PATH", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="deploy.yaml; default: looked up from here upwards.")  # fmt: skip
@click.option("--environment", "environments", metavar="NAME", multiple=True,
              help="Repeatable; default: all; for --manifest those in the first one's cluster.")  # fmt: skip
@click.option("--reports", metavar="DIR", default=Path("reports"), type=click.Path(path_type=Path), show_default=True,
              help="Where recover writes its notes.")  # fmt: skip
@click.option("--manifest", is_flag=True, help="Print the objects of a watchdog in the cluster, and do nothing.")
@click.option("--image", metavar="REF", help="With --manifest: an image with pytest-deploy in it (make image).")
@click.option("--namespace", metavar="NS", help="With --manifest: where it runs; default: the first environment's.")
@click.option("--secret", metavar="NAME", help="With --manifest: a Secret whose keys the pod has as variables.")
@click.option("--sandbox", "in_sandbox", is_flag=True, help="With --manifest: for the sandbox's real node.")
@click.option("--name", default="default", show_default=True, help="With --sandbox: which one.")
def watchdog(
    config: Path | None,
    environments: tuple[str, ...],
    reports: Path,
    manifest: bool,
    image: str | None,
    namespace: str | None,
    secret: str | None,
    in_sandbox: bool,
    name: str,
) -> None:
    """Recover each deploy whose heartbeat has stopped, until it is ended itself.

    It looks at the Lease beside each workload; one that is not renewed for its whole length belongs to a process
    that is gone, and `pytest-deploy recover` is run for it: what was changed is taken back, and the journal says so.
    """
    if manifest:
        from pytest_deploy.incluster.target import RealNode, source

        found = source(config, None, (), RealNode.of(name) if in_sandbox else None)
        target = found.target(environments[0] if environments else next(iter(found.release.environments)))
        click.echo(json.dumps(_manifest(target, environments, image, namespace, secret), indent=2))
        return
    if in_sandbox or image or namespace or secret:
        raise Refused("--image, --namespace, --secret and --sandbox belong to --manifest", hint="add --manifest")
    from pytest_deploy.config.load import find
    from pytest_deploy.incluster.guard import guard

    guard(config or find(Path.cwd()), environments, reports=reports)


def _manifest(
    target: Target, wanted: tuple[str, ...], image: str | None, namespace: str | None, secret: str | None
) -> dict[str, Json]:
    from pytest_deploy.incluster import objects

    reference = image or (target.source.node.image if target.source.node else None)
    if reference is None:
        raise Refused("which image the watchdog runs is not said", hint="make image, push it, then: --image REF")
    here = [env.name for env in target.here]
    if elsewhere := [each for each in wanted if each not in here]:
        raise Refused(f"{', '.join(elsewhere)} is in another cluster: a watchdog's account reaches its own only")
    place = target.place(namespace or target.environment.namespace)
    packed, _ = target.packed(None)
    pod = objects.Pod(
        name=f"deploy-watchdog-{place.release}",
        image=reference,
        arguments=("watchdog", *(wanted or here)),
        environ={"USER": "watchdog"},
        secret=secret,
    )
    items: list[Json] = [objects.account(place)]
    for space in place.spaces:
        items += [objects.role(place, space), objects.role_binding(place, space)]
    items += [objects.bundle_map(place, pod.name, packed), objects.watchdog(place, pod)]
    return {"apiVersion": "v1", "kind": "List", "items": items}
