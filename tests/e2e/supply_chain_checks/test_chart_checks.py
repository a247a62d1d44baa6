"""The chart's checks on real parts: Helm of both majors, kubeconform, and the OpenAPI of a real API server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_deploy.adapters.chart import ChartChecks
from pytest_deploy.adapters.cluster_schemas import ClusterSchemas
from pytest_deploy.adapters.kubeconform import validate
from pytest_deploy.domain.release import Environment, ImageRef, Release, Strategy
from pytest_deploy.errors import GateBreach, Refused, ToolFailed, ToolMissing
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.io.kube import KubeApi
from tests.e2e.oracle import CHART, SERVICE, Sandbox
from tests.e2e.supply_chain_checks.rig import programs

pytestmark = pytest.mark.real

DIGEST = "sha256:" + "5" * 64
PINNED = f"ghcr.io/acme/{SERVICE}@{DIGEST}"
Edit = tuple[str, Callable[[str], str]]

SIDECAR = """\
        - {name: proxy, image: "envoyproxy/envoy:v1.31"}
      containers:
"""
OTHER = DIGEST[:-1] + "6"
IMAGE = re.compile(r"image: \{\{.*\}\}")
GONE = "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: p}\n"
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\n"


def environment(sandbox: Sandbox) -> Environment:
    """Production, as deploy.yaml would say it."""
    return Environment(
        name="prod",
        context="sandbox-prod",
        namespace="shop",
        release=SERVICE,
        rollout=SERVICE,
        container=SERVICE,
        values_file=CHART / "values-prod.yaml",
        kubeconfig=Path(sandbox.facts["kubeconfig"]),
    )


def checks(
    sandbox: Sandbox, chart: Path = CHART, *, helm: str = "helm3", env: Environment | None = None
) -> ChartChecks:
    """The capability, for one environment."""
    env = env or environment(sandbox)
    release = Release(
        service=SERVICE,
        image=ImageRef.parse(f"ghcr.io/acme/{SERVICE}"),
        strategy=Strategy.CANARY,
        canary_steps=(5, 25, 50, 100),
        chart_path=chart,
        owner="team",
        values=(),
        environments={env.name: env},
    )
    api = KubeApi(clock=SystemClock(), environ={})
    return ChartChecks(release, [env], api=api, helm=programs()[helm], kubeconform=programs()["kubeconform"])


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """Copy the demo chart with files changed or added."""

    def edit(file: str, change: Callable[[str], str]) -> Path:
        chart = tmp_path / "chart"
        shutil.copytree(CHART, chart)
        path = chart / file
        before = path.read_text("utf-8") if path.exists() else ""
        path.write_text(change(before), "utf-8")
        assert path.read_text("utf-8") != before
        return chart

    return edit


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_a_good_chart_is_valid(own_sandbox: Sandbox, helm: str) -> None:
    """The demo chart, a Rollout included, is valid for this very server, and the server's version is told."""
    found = checks(own_sandbox, helm=helm)(PINNED)
    assert "prod: lint is clean, 5 objects valid for https://127.0.0.1:" in found.words
    assert "(Kubernetes v1.34.4), 1 image by digest" in found.words
    assert [each.name for each in found.attachments] == ["helm lint (prod)", "kubeconform (prod)", "images (prod)"]
    listed = json.loads(found.attachments[1].text)["resources"]
    assert {(row["kind"], row["status"]) for row in listed} == {
        (kind, "statusValid") for kind in ("Rollout", "Service", "ServiceAccount")
    }
    assert PINNED in found.attachments[2].text


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
@pytest.mark.parametrize(
    ("edit", "said"),
    [
        pytest.param(
            ("templates/rollout.yaml", lambda t: t.replace("revisionHistoryLimit:", "revisionHistoryLimmit:")),
            r"Rollout/checkout-api \(argoproj\.io/v1alpha1\): /spec: .*'revisionHistoryLimmit' not allowed",
            id="a misspelt field of a custom resource",
        ),
        pytest.param(
            ("templates/rollout.yaml", lambda t: t.replace("periodSeconds: 5", "periodSeconds: soon")),
            r"/spec/template/spec/containers/0/readinessProbe/periodSeconds: got string, want integer",
            id="a wrong type deep inside",
        ),
        pytest.param(
            ("templates/services.yaml", lambda t: t.replace("ports:", "port:", 1)),
            r"Service/checkout-api\S* \(v1\): /spec: .*'port' not allowed",
            id="a misspelt field of a built-in kind",
        ),
        pytest.param(
            ("templates/more.yaml", lambda _: f"{CONFIG}data: {{a: 1}}\n"),
            r"ConfigMap/extra \(v1\): /data/a: got number, want string",
            id="a number where text is wanted",
        ),
        pytest.param(
            ("templates/more.yaml", lambda _: f"{CONFIG}data: {{a: x}}\ndata: {{b: y}}\n"),
            r'ConfigMap/extra.*key "data" already set in map',
            id="a key that stands twice",
        ),
        pytest.param(
            ("templates/more.yaml", lambda _: GONE),
            r"PodDisruptionBudget/p \(policy/v1beta1\): the cluster does not serve this kind; of that group it serves "
            r"policy/v1\n",
            id="an API that this version has removed",
        ),
        pytest.param(
            ("templates/more.yaml", lambda _: "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\n"),
            r"Thing/t \(example\.com/v1\): the cluster does not serve this kind; it has no API of that group",
            id="a kind whose CRD is missing",
        ),
        pytest.param(
            ("templates/rollout.yaml", lambda t: t.replace("      containers:\n", f"      initContainers:\n{SIDECAR}")),
            r"Rollout/checkout-api, container proxy: envoyproxy/envoy:v1\.31 has no digest",
            id="another image by tag",
        ),
        pytest.param(
            ("templates/rollout.yaml", lambda t: t.replace('printf "%s@%s" .Values', 'printf "%s:v1@%s" .Values')),
            r"has a tag beside the digest",
            id="a tag beside the digest",
        ),
        pytest.param(
            ("templates/rollout.yaml", lambda t: IMAGE.sub(f"image: ghcr.io/acme/{SERVICE}@{OTHER}", t)),
            r"another version than the one that is deployed, sha256:5+(.|\n)*no container runs",
            id="an image that the chart fixes itself",
        ),
        pytest.param(
            ("templates/more.yaml", lambda _: '{{ fail "no way" }}\n'),
            r"no way",
            id="a template that fails",
        ),
        pytest.param(
            ("Chart.yaml", lambda t: t.replace("version:", "vversion:", 1)),
            r"version",
            id="a chart without a version",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(
    own_sandbox: Sandbox, edited: Callable[..., Path], helm: str, edit: Edit, said: str
) -> None:
    """A chart that is wrong in one way is refused, with the place, the reason and a command that shows it."""
    with pytest.raises(GateBreach, match=said) as refused:
        checks(own_sandbox, edited(*edit), helm=helm)(PINNED)
    assert refused.value.cause == "chart"
    assert "next: correct it, then: " in str(refused.value) or "helm" in str(refused.value).partition("next: ")[2]


def test_it_is_rendered_as_the_cluster_is(own_sandbox: Sandbox, edited: Callable[..., Path]) -> None:
    """What a chart makes depend on the server's kinds and version is rendered, and checked, as it will be there."""
    text = (
        '{{ if .Capabilities.APIVersions.Has "argoproj.io/v1alpha1/Rollout" }}\n'
        f'{CONFIG}data: {{server: {{{{ .Capabilities.KubeVersion.Version }}}}}}\nwrong: true\n{{{{ end }}}}\n'
    )  # fmt: skip
    with pytest.raises(GateBreach, match=r"ConfigMap/extra \(v1\): /: .*'wrong' not allowed"):
        checks(own_sandbox, edited("templates/more.yaml", lambda _: text))(PINNED)


def test_null_means_not_set(own_sandbox: Sandbox, edited: Callable[..., Path]) -> None:
    """What templates leave empty is valid, as the API server takes it."""
    chart = edited("templates/more.yaml", lambda _: f"{CONFIG}data:\nimmutable:\n")
    assert "6 objects valid" in checks(own_sandbox, chart)(PINNED).words


def test_secrets_are_in_no_attachment(own_sandbox: Sandbox, edited: Callable[..., Path]) -> None:
    """A Secret that the chart renders is validated, and its value is nowhere in the evidence."""
    hidden = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: planted-hunter2}\n"
    found = checks(own_sandbox, edited("templates/more.yaml", lambda _: hidden))(PINNED)
    assert "6 objects valid" in found.words
    assert not any("planted-hunter2" in each.text for each in found.attachments)


def test_without_an_answer_nothing_is_valid(own_sandbox: Sandbox, tmp_path: Path) -> None:
    """No Helm release, no kubeconform, and one that says nothing: each is an error of its own, never a pass."""
    no_release = replace(environment(own_sandbox), release=None)
    with pytest.raises(Refused, match="no environment of this deploy has a Helm release"):
        checks(own_sandbox, env=no_release)(PINNED)
    made = checks(own_sandbox)
    made._kubeconform = "/nowhere/kubeconform"
    with pytest.raises(ToolMissing, match="kubeconform can't be run"):
        made(PINNED)
    silent = tmp_path / "kubeconform"
    silent.write_text("#!/bin/sh\nexit 0\n")
    silent.chmod(0o700)
    made._kubeconform = os.fspath(silent)
    with pytest.raises(ToolFailed, match="ended with 0 and without a report"):
        made(PINNED)


def test_every_object_that_the_server_holds_is_valid(own_sandbox: Sandbox) -> None:
    """The schemas refuse nothing that the server itself has accepted: its own objects of many kinds."""
    kinds = "namespaces,services,configmaps,serviceaccounts,clusterroles,clusterrolebindings,rolebindings,crds,"
    kinds += "flowschemas,prioritylevelconfigurations,apiservices,priorityclasses,nodes,deployments,leases"
    where = ("--kubeconfig", own_sandbox.facts["kubeconfig"], "--context", "sandbox-prod")
    listed = json.loads(
        subprocess.run(
            (own_sandbox.binaries["kubectl"], *where, "get", kinds, "-A", "-o", "json"), check=True, capture_output=True
        ).stdout
    )["items"]
    api = KubeApi(clock=SystemClock(), environ={})
    schemas = ClusterSchemas(api.at("sandbox-prod", own_sandbox.facts["kubeconfig"]))
    text = "---\n".join(json.dumps(each) + "\n" for each in listed)
    verdict = validate(programs()["kubeconform"], text, listed, schemas)
    assert verdict.problems == ()
    assert verdict.valid == len(listed) > 50
    assert len({each["kind"] for each in listed}) >= 10
