"""What ``init`` sees in a repository, and what it writes from it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pytest_deploy.cli_init import init
from pytest_deploy.config.load import load
from pytest_deploy.errors import Refused
from pytest_deploy.init import Seen, files, look, todo, write
from pytest_deploy.init.rollout import suggested

CHART = "apiVersion: v2\nname: {name}\nversion: 0.1.0\n"
ROLLOUT = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
spec:
  strategy:
    canary:
      steps:
        - setWeight: 10
        - pause: {}
        - setWeight: 60
        - pause: {}
  template:
    spec:
      containers:
        - name: web
          image: "{{ .Values.image.repository }}@{{ .Values.image.digest }}"
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  replicas: 3
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 1
  selector: {matchLabels: {app: pay}}
  template:
    spec:
      containers:
        - name: {{ .Chart.Name }}
          image: {{ .Values.image }}
"""
APPLICATION = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {{name: pay-{env}}}
spec:
  source:
    repoURL: {repo}
    targetRevision: release
    path: charts/pay
    helm: {{valueFiles: ["../../env/{env}/values.yaml"]}}
  destination: {{namespace: pay-{env}}}
"""
BLUE_GREEN = "kind: Rollout\nspec:\n  strategy:\n    blueGreen:\n"
RELEASE = """\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: pay, namespace: shop}
spec:
  values: {image: {digest: ""}}
"""


def repository(folder: Path, workload: str = ROLLOUT, **more: str) -> Path:
    """A repository with one chart, and more files (``__`` stands for ``/``)."""
    kind = "rollout" if "kind: Rollout" in workload else "deployment"
    text = {
        "charts/pay/Chart.yaml": CHART.format(name="pay"),
        "charts/pay/values.yaml": "image: {repository: registry.acme.example:5000/shop/pay, tag: v1}\n",
        f"charts/pay/templates/{kind}.yaml": workload,
        **more,
    }
    for name, content in text.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
    return folder


def seen(folder: Path, **environ: str) -> Seen:
    """Look at it, on a machine without a kubeconfig where none is named."""
    return look(folder, {"HOME": str(folder), **environ})


def test_a_canary_chart(tmp_path: Path) -> None:
    """Service, image, container, weights, tests, owner, checklist, contexts and values files are seen, not asked."""
    kubeconfig = tmp_path / "kube"
    kubeconfig.write_text("contexts: [{name: acme-staging-eu}, {name: acme_production}, {name: dev}]\n")
    found = seen(
        repository(
            tmp_path,
            **{
                "Makefile": "test: build\n\ttrue\nintegration-test:\n\ttrue\ntests := x\n",
                ".github/CODEOWNERS": "* @acme/everybody\n* @acme/sre # all\n/docs @acme/docs\n",
                "deployment-checklist.md": "- [ ] x\n",
                "charts/pay/values-production.yaml": "a: 1\n",
                "charts/pay/values-staging.yaml": "a: 1\n",
                "scripts/check-slo.sh": "curl http://prometheus.acme.example:9090/api/v1/query\n",
                ".git/config": '[remote "origin"]\n\turl = git@github.com:acme/pay.git\n',
            },
        ),
        KUBECONFIG=str(kubeconfig),
    )
    assert (found.service, found.chart, found.workload) == ("pay", "charts/pay", "Rollout")
    assert (found.image, found.container) == ("registry.acme.example:5000/shop/pay", "web")
    assert (found.steps, found.steps_from) == ((10, 60, 100), "rollout.yaml")
    assert found.tests == ("make test", "make integration-test")
    assert (found.owner, found.approver) == ("@acme/sre", "@acme/sre")
    assert found.checklist == "deployment-checklist.md"
    assert found.prometheus == "http://prometheus.acme.example:9090/api/v1/query"
    assert [(place.name, place.context, place.values_file) for place in found.places] == [
        ("staging", "acme-staging-eu", "values-staging.yaml"),
        ("prod", "acme_production", "values-production.yaml"),
    ]
    assert found.github
    assert found.gitops is None
    list(write(files(found, tmp_path), tmp_path))
    config = load(tmp_path / "deploy.yaml")
    assert config.approval is not None
    assert config.environments["prod"].approvers == ("@acme/sre",)


def test_what_can_not_be_seen(tmp_path: Path) -> None:
    """Nothing is made up in silence: the weights have no source, and each guess is marked CHANGE."""
    found = seen(repository(tmp_path, "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\n"))
    assert (found.steps, found.steps_from) == ((5, 25, 50, 100), "")
    assert (found.owner, found.approver, found.prometheus, found.tests) == ("pay-team", None, None, ())
    made = files(found, tmp_path)
    told = "\n".join(todo(made, found))
    assert made[".gitignore"] == "reports/\n"
    for what in ("share of requests that may fail", "kubeconfig's context", "its address", "image.digest }}"):
        assert what in told


def test_weights_of_the_values(tmp_path: Path) -> None:
    """A template that loops takes its weights from the values."""
    template = "kind: Rollout\nsteps:\n{{- range .Values.canary.steps }}\n- setWeight: {{ . }}\n{{- end }}\n"
    values = "image: ghcr.io/acme/pay:v1\ncanary: {steps: [1, 50, 100]}\nother: {steps: [3, 2]}\n"
    found = seen(repository(tmp_path, template, **{"charts/pay/values.yaml": values}))
    assert (found.steps, found.steps_from, found.image) == ((1, 50, 100), "values.yaml", "ghcr.io/acme/pay")


def test_deploy_yaml_is_right(tmp_path: Path) -> None:
    """What is written is read again by the same checks as any deploy.yaml."""
    found = seen(repository(tmp_path, **{"charts/pay/values-prod.yaml": "a: 1\n"}))
    assert dict(write(files(found, tmp_path), tmp_path))["deploy.yaml"]
    config = load(tmp_path / "deploy.yaml")
    assert (config.service, config.canary_steps) == ("pay", (10, 60, 100))
    assert config.environments["prod"].container == "web"
    assert config.gitops is None
    assert config.smoke is not None
    assert (config.smoke.script, config.approval) == ("./scripts/smoke.sh", None)


def test_a_plain_deployment(tmp_path: Path) -> None:
    """A canary needs a Rollout: it is suggested beside the templates, where Helm does not render it."""
    found = seen(repository(tmp_path, DEPLOYMENT))
    made = files(found, tmp_path)
    rollout = made["charts/pay/rollout.suggested.yaml"]
    plain = yaml.safe_load(
        rollout.replace("{{ .Release.Name }}", "pay")
        .replace("{{ .Chart.Name }}", "pay")
        .replace("{{ .Values.image }}", "x")
    )
    assert (plain["apiVersion"], plain["kind"]) == ("argoproj.io/v1alpha1", "Rollout")
    weights = [step["setWeight"] for step in plain["spec"]["strategy"]["canary"]["steps"] if "setWeight" in step]
    assert weights == [5, 25, 50, 100]
    assert "RollingUpdate" not in rollout
    assert plain["spec"]["selector"] == {"matchLabels": {"app": "pay"}}
    assert "a Deployment can't serve a share of the traffic" in "\n".join(todo(made, found))
    assert suggested("kind: Deployment\n", [5, 100]) is None
    assert suggested("apiVersion: apps/v1\nkind: Deployment\n", [5, 100]) is None


@pytest.mark.parametrize(
    ("repo", "own", "repository_named"),
    [
        ("https://github.com/acme/pay.git", "git@github.com:acme/pay.git", None),
        ("https://github.com/acme/environments", "git@github.com:acme/pay.git", "https://github.com/acme/environments"),
    ],
)
def test_argo_cd(tmp_path: Path, repo: str, own: str, repository_named: str | None) -> None:
    """Its Applications say which values file of which repository and branch holds each environment's digest."""
    applications = {f"argocd/{env}.yaml": APPLICATION.format(env=env, repo=repo) for env in ("staging", "prod")}
    origin = {".git/config": f'[remote "origin"]\n\turl = {own}\n'}
    found = seen(repository(tmp_path, **applications, **origin))
    assert (found.gitops, found.gitops_repository, found.branch) == ("Argo CD", repository_named, "release")
    assert [(place.name, place.gitops_file, place.namespace) for place in found.places] == [
        ("staging", "env/staging/values.yaml", "pay-staging"),
        ("prod", "env/prod/values.yaml", "pay-prod"),
    ]
    made = files(found, tmp_path)
    assert [name for name in made if name.endswith(".feature")] == [
        "features/staging_gitops.feature",
        "features/prod_gitops.feature",
    ]
    list(write(made, tmp_path))
    config = load(tmp_path / "deploy.yaml")
    assert config.gitops is not None
    assert config.gitops.environments["prod"].place == ("env/prod/values.yaml", "image.digest")
    assert config.gitops.repository == repository_named
    workflow = yaml.safe_load(made[".github/workflows/deploy-pay.yml"])
    assert workflow[True]["workflow_dispatch"]["inputs"]["environment"]["options"] == ["staging", "prod"]
    assert "recover" not in "".join(made)


def test_flux(tmp_path: Path) -> None:
    """A HelmRelease holds the digest among its own values."""
    found = seen(repository(tmp_path, **{"clusters/production/pay.yaml": RELEASE}))
    assert found.gitops == "Flux"
    (place,) = [place for place in found.places if place.gitops_file]
    assert (place.name, place.gitops_file, place.gitops_key) == (
        "prod",
        "clusters/production/pay.yaml",
        "spec.values.image.digest",
    )


@pytest.mark.parametrize(
    ("files_there", "words"),
    [
        ({"README.md": ""}, "there is no Helm chart"),
        ({"serverless.yml": "service: x\n"}, "that is the Serverless Framework"),
        (
            {"a/Chart.yaml": CHART.format(name="a"), "a/templates/r.yaml": ROLLOUT,
             "b/Chart.yaml": CHART.format(name="b"), "b/templates/r.yaml": ROLLOUT},
            "there are 2 charts, and one deploy is of one service: a, b",
        ),
        (
            {"a/Chart.yaml": CHART.format(name="a"), "a/templates/r.yaml": "kind: StatefulSet\n"},
            "renders neither a Rollout nor a Deployment, but StatefulSet",
        ),
        (
            {"a/Chart.yaml": CHART.format(name="a"), "a/templates/r.yaml": BLUE_GREEN},
            "is of strategy blueGreen",
        ),
    ],
)  # fmt: skip
def test_no_place_for_it(tmp_path: Path, files_there: dict[str, str], words: str) -> None:
    """Where this tool has nothing to do it writes nothing, and says what to use or what is missing."""
    for name, text in files_there.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    before = sorted(tmp_path.rglob("*"))
    result = CliRunner().invoke(init, [str(tmp_path)], env={"HOME": str(tmp_path)})
    assert isinstance(result.exception, Refused)
    assert words in str(result.exception)
    assert result.exception.hint
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A file, or a link that leads nowhere, stays as it is; a second run changes nothing."""
    repository(tmp_path, **{"deploy.yaml": "mine: true\n"})
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "smoke.sh").symlink_to(tmp_path / "nowhere")
    environ = {"HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "none")}
    result = CliRunner().invoke(init, [str(tmp_path), "--json"], env=environ, catch_exceptions=False)
    told = json.loads(result.output)
    assert told["kept"] == ["deploy.yaml", "scripts/smoke.sh"]
    assert (tmp_path / "deploy.yaml").read_text() == "mine: true\n"
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / ".gitignore").write_text("build/\n")
    assert ".gitignore: add reports/" in "\n".join(todo(files(seen(tmp_path), tmp_path), seen(tmp_path)))
    again = CliRunner().invoke(init, [str(tmp_path)], env=environ, catch_exceptions=False)
    assert "wrote" not in again.output
    assert "pytest features/prod_canary.feature --rehearse" in again.output


def test_the_workflow(tmp_path: Path) -> None:
    """The step's first process is pytest, recover runs whatever happened, and once more in a workflow of its own."""
    made = files(seen(repository(tmp_path, **{".github/x": ""})), tmp_path)
    list(write(made, tmp_path))
    deploy = yaml.safe_load(made[".github/workflows/deploy-pay.yml"])
    job = deploy["jobs"]["deploy"]
    assert job["environment"] == "prod"
    assert deploy["concurrency"]["cancel-in-progress"] is False
    runs = [step.get("run", "") for step in job["steps"]]
    (main,) = [index for index, run in enumerate(runs) if run.startswith("exec pytest features/prod_canary.feature")]
    assert "${{" not in runs[main]
    recover = job["steps"][main + 1]
    assert (recover["if"], recover["run"]) == ("always()", "pytest-deploy recover --environment prod")
    own = yaml.safe_load(made[".github/workflows/deploy-pay-recover.yml"])
    assert own[True]["workflow_run"]["workflows"] == [deploy["name"]]
    assert own["jobs"]["recover"]["steps"][-1]["run"].startswith("pytest-deploy recover")
    smoke = tmp_path / "scripts" / "smoke.sh"
    assert smoke.stat().st_mode & stat.S_IXUSR
