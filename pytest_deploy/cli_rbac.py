"""``pytest-deploy rbac``: prints the roles of a deploy account, of exactly the verbs that a deploy uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_deploy.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_deploy.adapters.helm import HelmCli
    from pytest_deploy.domain.action import Json
    from pytest_deploy.domain.permissions import Rule
    from pytest_deploy.domain.release import Environment, Release
    from pytest_deploy.io.kube import KubeApi

__all__ = ["rbac"]


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: pytest-deploy rbac prod --to serviceaccount:ci/deployer | kubectl apply -f -",
)
@click.argument("environments", nargs=-1, metavar="[ENV]...")
@click.option("--to", metavar="WHOM", help="user:NAME, group:NAME or serviceaccount:NAMESPACE/NAME: gets the bindings, "
              "too.")  # fmt: skip
@click.option("--config", type=click.Path(path_type=Path), help="deploy.yaml; default: looked up from here upwards.")
@click.option("--sandbox", "in_sandbox", is_flag=True, help="Of the local real stack.")
def rbac(environments: tuple[str, ...], to: str | None, config: Path | None, *, in_sandbox: bool) -> None:
    """Print a Role for each namespace and, apart from it, a read-only ClusterRole, as YAML for kubectl apply.

    The Role holds what a deploy and its way back do, the kinds of the chart included, and no more. The ClusterRole
    holds a few reads beyond the namespace: which cluster it is, and whether the chart's CRDs have drifted; without it
    those checks are reported as not made. ENV: of deploy.yaml; default: all of them.
    """
    from pytest_deploy import open_deploys
    from pytest_deploy.domain import roles

    found, release = open_deploys.config_of(config, in_sandbox=in_sandbox)
    unknown = [name for name in environments if name not in release.environments]
    if unknown:
        known = ", ".join(release.environments)
        raise Refused(f"deploy.yaml has no environment {unknown[0]!r}", hint=f"it has: {known}")
    try:
        whom = None if to is None else roles.subject(to)
    except ValueError as error:
        raise Refused(str(error), hint="pytest-deploy rbac prod --to serviceaccount:ci/deployer") from error
    chosen = [env for name, env in release.environments.items() if name in environments or not environments]
    click.echo("\n---\n".join(_documents(release, chosen, whom, _helm(found.tools.helm, in_sandbox=in_sandbox))))


def _documents(
    release: Release, environments: Sequence[Environment], to: dict[str, Json] | None, helm: HelmCli
) -> Iterator[str]:
    from pytest_deploy.domain import permissions, roles
    from pytest_deploy.io.clock import SystemClock
    from pytest_deploy.io.kube import KubeApi

    api, name = KubeApi(clock=SystemClock()), f"pytest-deploy-{release.service}"
    by_context: dict[str, dict[str, list[Rule]]] = {}
    for env in environments:
        rules = permissions.rules_of(env, _kinds(release, env, helm, api))
        by_context.setdefault(env.context, {}).setdefault(env.namespace, []).extend(rules)
    crds: Any = helm.crds(str(release.chart_path)) if any(env.release for env in environments) else ()
    beyond = permissions.cluster_rules(each["metadata"]["name"] for each in crds)
    for context, spaces in by_context.items():
        above = f"# for the cluster of context {context}: kubectl --context {context} apply -f -\n"
        for space, found in spaces.items():
            yield above + _written(roles.role(name, found, namespace=space), found)
            if to is not None:
                yield _written(roles.binding(name, to, namespace=space))
            above = ""
        # Called after the namespaces, too: the same service may be in others, with other accounts.
        apart = ".".join((name, *spaces))
        yield "# reads beyond the namespace\n" + _written(roles.role(apart, beyond, namespace=None), beyond)
        if to is not None:
            yield _written(roles.binding(apart, to, namespace=None))


def _kinds(release: Release, env: Environment, helm: HelmCli, api: KubeApi) -> frozenset[tuple[str, str]]:
    from datetime import timedelta

    from pytest_deploy.adapters.kubernetes import resources
    from pytest_deploy.domain.release import Digest
    from pytest_deploy.domain.upgrade import release_target, upgrade

    target = release_target(env)
    if target is None:
        return frozenset()
    digest = Digest("sha256:" + "0" * 64)  # whatever is deployed, its kinds are these
    planned = upgrade(release, env, target, digest=digest, base_revision=0, timeout=timedelta(minutes=1), labels={})
    return resources(api.at(env.context, env.kubeconfig), helm.render(planned))


def _helm(binary: str, *, in_sandbox: bool) -> HelmCli:
    from pytest_deploy.adapters.helm import HelmCli
    from pytest_deploy.io.clock import SystemClock
    from pytest_deploy.sandbox import toolbox

    if in_sandbox and "/" not in binary:
        binary = toolbox().need("helm3" if binary == "helm" else binary)
    return HelmCli(binary, clock=SystemClock())


def _written(document: dict[str, Json], rules: Iterable[Rule] = ()) -> str:
    """Return it as YAML, each rule with what it is for."""
    import yaml

    kept = {key: value for key, value in document.items() if key != "rules"}
    text = yaml.safe_dump(kept, sort_keys=False, default_flow_style=None, width=200)
    if "rules" not in document:
        return text.rstrip()
    lines = [
        f"- {yaml.safe_dump(rule.manifest(), sort_keys=False, default_flow_style=True, width=500).strip()}"
        + (f"  # {rule.why}" if rule.why else "")
        for rule in rules
    ]
    return "\n".join([text.rstrip(), "rules:", *lines])
