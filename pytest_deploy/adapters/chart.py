"""The chart, as it will be installed: linted, rendered, and held against the API of the cluster it is bound for."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_deploy.adapters.cluster_schemas import ClusterSchemas
from pytest_deploy.adapters.kubeconform import resources, validate
from pytest_deploy.domain.images import image_uses, unpinned
from pytest_deploy.domain.release import Digest, Environment, ImageRef, Release, parse_digest
from pytest_deploy.domain.upgrade import release_target, upgrade
from pytest_deploy.errors import GateBreach, Refused, ToolFailed, ToolTimedOut
from pytest_deploy.io.process import DEFAULT_INHERIT, Completed, run
from pytest_deploy.io.team_program import last_lines
from pytest_deploy.ports import Attachment, Found

if TYPE_CHECKING:
    from pytest_deploy.domain.action import HelmUpgrade
    from pytest_deploy.io.kube import KubeApi

__all__ = ["ChartChecks"]

_TIMEOUT_S = 60.0
_LINES = 12
_SHOWN = 10
_INHERIT = (
    *DEFAULT_INHERIT,
    "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HELM_PLUGINS", "HELM_REPOSITORY_CACHE",
    "HELM_REPOSITORY_CONFIG",
)  # fmt: skip


class ChartChecks:
    """The capability ``chart_checks``; its subject is the image that is deployed, by digest.

    Args:
        environments: those that this deploy touches: each is rendered with its own values for its own cluster.
        api: leads to their clusters.
        helm, kubeconform: names on PATH, or paths.
    """

    def __init__(
        self,
        release: Release,
        environments: Sequence[Environment],
        *,
        api: KubeApi,
        helm: str = "helm",
        kubeconform: str = "kubeconform",
    ) -> None:
        self._release = release
        self._environments = tuple(environments)
        self._api = api
        self._helm = helm
        self._kubeconform = kubeconform

    def __call__(self, subject: str) -> Found:
        """Lint and render the chart for each environment, and validate what comes out.

        Raises:
            GateBreach: it has a mistake, a manifest is invalid there, or an image is not named by digest.
            Refused: no Helm release is in any environment, so nothing that is rendered would be what is deployed.
            ToolError, RemoteError: there is no answer; that is not valid.
        """
        image = ImageRef.parse(subject)
        digest = parse_digest(image.digest or "")
        found = [self._check(env, image, digest) for env in self._environments if env.release is not None]
        if not found:
            raise Refused(
                "chart_checks is on, but no environment of this deploy has a Helm release",
                hint="set environments.NAME.release, or take chart_checks out of deploy.yaml",
            )
        attachments = tuple(attachment for each in found for attachment in each.attachments)
        return Found("; ".join(each.words for each in found), attachments=attachments)

    def _check(self, env: Environment, image: ImageRef, digest: Digest) -> Found:
        target = release_target(env)
        if target is None:
            raise AssertionError  # the caller leaves those out
        wanted = upgrade(
            self._release, env, target, digest=digest, base_revision=0, timeout=timedelta(0), labels={}
        )  # fmt: skip
        schemas = ClusterSchemas(self._api.at(env.context, env.kubeconfig))
        lint = self._lint(wanted, env)
        text = self._render(wanted, schemas, env)
        manifests = _documents(text, env)
        verdict = validate(self._kubeconform, text, manifests, schemas)
        uses = image_uses(tuple(resources(manifests)))
        # Not the manifests: there are Secrets among them.
        evidence = (
            Attachment(f"helm lint ({env.name})", lint),
            Attachment(f"kubeconform ({env.name})", verdict.output, "application/json"),
            Attachment(f"images ({env.name})", "".join(f"{use.image or '-'}  {use.where}\n" for use in uses)),
        )
        if problems := [*verdict.problems, *unpinned(uses, image)]:
            more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
            listed = "".join(f"\n  - {problem}" for problem in problems[:_SHOWN])
            _refuse(
                f"{_count(len(problems), 'mistake')} in what {wanted.chart} renders for {env.name} ({schemas.server}):"
                f"{listed}{more}\n  next: correct the chart or its values; see it with: "
                f"{shlex.join(wanted.render_argv(self._helm))}",
                evidence,
            )
        return Found(
            f"{env.name}: lint is clean, {_count(verdict.valid, 'object')} valid for {schemas.server} "
            f"(Kubernetes {schemas.version()}), {_count(len(uses), 'image')} by digest",
            attachments=evidence,
        )

    def _lint(self, wanted: HelmUpgrade, env: Environment) -> str:
        argv = (
            self._helm, "lint", wanted.chart, "--namespace", wanted.target.namespace,
            *(part for path in wanted.values_files for part in ("--values", path)),
            *(part for key, value in wanted.values for part in ("--set-json", f"{key}={value}")),
        )  # fmt: skip
        done = self._run(argv, f"helm lint of {wanted.chart}")
        said = done.stdout + done.stderr
        if done.status:
            if "chart(s) linted" not in said:
                raise ToolFailed(
                    f"helm lint of {wanted.chart}: exit {done.status}, and nothing was linted: "
                    f"{last_lines(said, _LINES) or 'it said nothing'}",
                    hint=f"run it by hand: {shlex.join(argv)}",
                )
            mistakes = "".join(f"\n  - {line}" for line in said.splitlines() if line.startswith("[ERROR]"))
            _refuse(
                f"helm lint of {wanted.chart} with the values of {env.name}:{mistakes}"
                f"\n  next: correct it, then: {shlex.join(argv)}",
                [Attachment(f"helm lint ({env.name})", said)],
            )
        return said

    def _render(self, wanted: HelmUpgrade, schemas: ClusterSchemas, env: Environment) -> str:
        """Render it as it will be on that cluster: charts ask for its version and for what it serves."""
        served = schemas.api_versions()
        kinds = [f"{version}/{kind}" for version in served for kind in schemas.kinds(version)]
        argv = (
            *wanted.render_argv(self._helm), "--kube-version", schemas.version(),
            *(part for each in (*served, *kinds) for part in ("--api-versions", each)),
        )  # fmt: skip
        done = self._run(argv, f"helm template of {wanted.chart}")
        if done.status or done.cut:
            why = "its output is too large to be read whole" if done.cut else last_lines(done.stderr, _LINES)
            _refuse(
                f"{wanted.chart} can't be rendered for {env.name}: {why}\n  next: correct it, then: "
                f"{shlex.join(wanted.render_argv(self._helm))}",
                [Attachment(f"helm template ({env.name})", done.stderr)],
            )
        return done.stdout

    def _run(self, argv: Sequence[str], what: str) -> Completed:
        done = run(argv, timeout_s=_TIMEOUT_S, inherit=_INHERIT)
        if done.timed_out:
            raise ToolTimedOut(f"{what} had not ended after {done.seconds:.0f} s and was ended: no verdict")
        return done


def _documents(text: str, env: Environment) -> tuple[Mapping[str, Any], ...]:
    import yaml

    try:
        documents = list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        _refuse(f"what the chart renders for {env.name} is no YAML: {error}\n  next: see it with helm template", [])
    return tuple(document for document in documents if isinstance(document, Mapping))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _refuse(text: str, evidence: Sequence[Attachment]) -> NoReturn:
    raise GateBreach(text, cause="chart", attachments=evidence)
