"""What the files of a repository tell of where a service runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.adapters.repository import signs
from pytest_deploy.domain.stack import SignKind


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files below the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


SAM = "AWSTemplateFormatVersion: '2010-09-09'\nTransform: AWS::Serverless-2016-10-31\n"
CLOUD_FORMATION = "AWSTemplateFormatVersion: '2010-09-09'\nResources:\n  F: {Type: AWS::Lambda::Function}\n"
CLOUD_RUN = (
    "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata:\n  annotations: {run.googleapis.com/ingress: all}\n"
)
CLOUD_BUILD = (
    "steps:\n- name: gcr.io/google.com/cloudsdktool/cloud-sdk\n  entrypoint: gcloud\n  args:\n  - run\n  - deploy\n"
)
BICEP = "resource app 'Microsoft.App/containerApps@2024-03-01' = {\n}\n"
FARGATE = '{"family": "api", "requiresCompatibilities": ["FARGATE"], "containerDefinitions": []}'


@pytest.mark.parametrize(
    ("name", "text", "tool", "instead"),
    [
        ("serverless.yml", "service: api\n", "the Serverless Framework", "serverless deploy"),
        ("serverless.ts", "", "the Serverless Framework", "serverless deploy"),
        ("template.yaml", SAM, "AWS SAM", "DeploymentPreference"),
        ("samconfig.toml", "version = 0.1\n", "AWS SAM", "sam deploy"),
        ("stack.yaml", CLOUD_FORMATION, "AWS CloudFormation", "CodeDeploy"),
        ("task-definition.json", FARGATE, "Amazon ECS on Fargate", "ECS"),
        ("main.tf", 'requires_compatibilities = ["FARGATE"]\n', "Amazon ECS on Fargate", "ECS"),
        ("service.yaml", CLOUD_RUN, "Google Cloud Run", "update-traffic"),
        ("cloudbuild.yaml", CLOUD_BUILD, "Google Cloud Run", "update-traffic"),
        ("infra.bicep", BICEP, "Azure Container Apps", "az containerapp"),
        ("azure.yaml", "services:\n  api:\n    host: containerapp\n", "Azure Container Apps", "az containerapp"),
    ],
)
def test_serverless(tmp_path: Path, name: str, text: str, tool: str, instead: str) -> None:
    """Each platform is known by its own file, and what to use there is named; in a folder below it is not near."""
    write(tmp_path, {name: text})
    (sign,) = signs(tmp_path)
    assert (sign.kind, sign.tool, sign.where, sign.near) == (SignKind.SERVERLESS, tool, name, True)
    assert instead in sign.instead
    write(tmp_path, {f"functions/mail/{name}": text})
    (tmp_path / name).unlink()
    (below,) = signs(tmp_path)
    assert (below.where, below.near) == (f"functions/mail/{name}", False)


@pytest.mark.parametrize(
    ("files", "tool", "where"),
    [
        ({"deploy/app.yaml": "apiVersion: argoproj.io/v1alpha1\nkind: Application\n"}, "Argo CD", "deploy/app.yaml"),
        ({"argocd/readme.yaml": "a: 1\n"}, "Argo CD", "the folder argocd/"),
        ({"c/r.yaml": "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\n"}, "Flux", "c/r.yaml"),
        ({"base/kustomization.yaml": "resources: []\n"}, "kustomize", "base/kustomization.yaml"),
    ],
)
def test_gitops(tmp_path: Path, files: dict[str, str], tool: str, where: str) -> None:
    """Folders and manifests of Argo CD, Flux and kustomize are seen."""
    write(tmp_path, files)
    (sign,) = signs(tmp_path)
    assert (sign.tool, sign.where) == (tool, where)


def test_a_chart_repository_has_no_sign(tmp_path: Path) -> None:
    """A Rollout of a chart, an ordinary workflow and others' packages tell nothing."""
    write(
        tmp_path,
        {
            "charts/api/templates/rollout.yaml": "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\n",
            "k8s/rollout.yaml": "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\n",
            "node_modules/x/serverless.yml": "service: x\n",
            ".github/workflows/ci.yml": "run: gcloud run deploy\n",
            "package.json": "{}",
        },
    )
    (tmp_path / "link").symlink_to(tmp_path / "node_modules")
    assert signs(tmp_path) == ()
