"""What the files of a service's repository tell of where it runs; read, never run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from pytest_deploy.domain.stack import Sign, SignKind

__all__ = ["files_below", "read_text", "signs"]

_SKIPPED = frozenset(
    {"node_modules", "vendor", "venv", "dist", "build", "target", "reports", "templates", "__pycache__", "testdata"}
)
"""Folders of others' code, of results, and of charts, whose templates are no YAML."""
_DEEPEST = 4
_MOST_FILES = 5000
_LARGEST = 256 * 1024
_SUFFIXES = frozenset({".yaml", ".yml", ".json", ".toml", ".ts", ".js", ".bicep", ".tf"})

_SERVERLESS = "serverless deploy, with weighted aliases by CodeDeploy (serverless-plugin-canary-deployments)"
_SAM = "sam deploy, with a DeploymentPreference of type Canary or Linear"
_ECS = "a blue/green or canary deployment of the ECS service itself, or AWS CodeDeploy"
_CLOUD_RUN = "gcloud run services update-traffic with --to-revisions, or Cloud Deploy"
_CONTAINER_APPS = "az containerapp ingress traffic set with --revision-weight"
_YAML = r".*\.ya?ml"
_DATA = r".*\.(ya?ml|json)"

_RULES: Sequence[tuple[SignKind, str, str, str, str]] = (
    (SignKind.SERVERLESS, r"serverless\.(ya?ml|json|toml|ts|js)", "", "the Serverless Framework", _SERVERLESS),
    (SignKind.SERVERLESS, r"samconfig\.(toml|ya?ml)", "", "AWS SAM", _SAM),
    (SignKind.SERVERLESS, _DATA, r"AWS::Serverless(?:-2016-10-31|::)", "AWS SAM", _SAM),
    (SignKind.SERVERLESS, _DATA, r"AWSTemplateFormatVersion[\s\S]*AWS::(?:Lambda|ECS)::",
     "AWS CloudFormation", "a change set, with CodeDeploy for the traffic"),
    (SignKind.SERVERLESS, r".*\.json", r'"requiresCompatibilities"\s*:\s*\[\s*"FARGATE"\s*\]',
     "Amazon ECS on Fargate", _ECS),
    (SignKind.SERVERLESS, r".*\.tf", r'requires_compatibilities\s*=\s*\[\s*"FARGATE"\s*\]',
     "Amazon ECS on Fargate", _ECS),
    (SignKind.SERVERLESS, _DATA, r"serving\.knative\.dev/v1[\s\S]*run\.googleapis\.com/",
     "Google Cloud Run", _CLOUD_RUN),
    (SignKind.SERVERLESS, _DATA, r"gcloud[\s\"',\[\]-]+run[\s\"',-]+deploy|^\s*-\s*run\s*\n\s*-\s*deploy\b",
     "Google Cloud Run", _CLOUD_RUN),
    (SignKind.SERVERLESS, r".*\.(ya?ml|json|bicep)", r"Microsoft\.App/containerApps",
     "Azure Container Apps", _CONTAINER_APPS),
    (SignKind.SERVERLESS, r"azure\.ya?ml", r"host:\s*containerapp", "Azure Container Apps", _CONTAINER_APPS),
    (SignKind.GITOPS, _YAML, r"argoproj\.io/v1alpha1[\s\S]*kind:\s*Application(?:Set)?\s*$", "Argo CD", ""),
    (SignKind.GITOPS, _YAML, r"(?:kustomize|helm)\.toolkit\.fluxcd\.io/v", "Flux", ""),
    (SignKind.APPLIED, r"kustomization\.ya?ml", "", "kustomize", ""),
)  # fmt: skip
"""Kind, the file's whole name, what stands in it, whose it is, what to use instead."""
_FOLDERS = {
    "argocd": "Argo CD", "argo-cd": "Argo CD", "fluxcd": "Flux", "flux": "Flux", "flux-system": "Flux",
    "kustomize": "kustomize",
}  # fmt: skip


def signs(folder: Path) -> tuple[Sign, ...]:
    """Return the signs of other stacks in the folder and four levels below, the nearest first, one for each tool."""
    found: dict[str, Sign] = {}
    for path in files_below(folder):
        relative = path.relative_to(folder)
        for sign in (*_of_folders(relative), *_of_file(path, relative)):
            found.setdefault(sign.tool, sign)
    return tuple(found.values())


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files that may tell something, level by level; symbolic links and hidden folders are left out."""
    yield from islice(_walk(folder), _MOST_FILES)


def read_text(path: Path) -> str:
    """Return the text of a file of at most 256 KiB; "" of anything else."""
    try:
        return path.read_text("utf-8") if path.stat().st_size <= _LARGEST else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _walk(folder: Path) -> Iterator[Path]:
    level = [folder]
    for _ in range(_DEEPEST + 1):
        below: list[Path] = []
        for each in level:
            try:
                entries = sorted(each.iterdir())
            except OSError:
                continue
            for entry in entries:
                if entry.is_symlink():
                    continue
                if entry.is_dir():
                    if not entry.name.startswith(".") and entry.name not in _SKIPPED:
                        below.append(entry)
                elif entry.suffix in _SUFFIXES:
                    yield entry
        level = below


def _of_folders(relative: Path) -> Iterator[Sign]:
    for part in relative.parts[:-1]:
        tool = _FOLDERS.get(part.lower())
        if tool is not None:
            kind = SignKind.APPLIED if tool == "kustomize" else SignKind.GITOPS
            yield Sign(kind=kind, tool=tool, where=f"the folder {part}/", near=len(relative.parts) == 2)


def _of_file(path: Path, relative: Path) -> Iterator[Sign]:
    text: str | None = None
    for kind, name, content, tool, instead in _RULES:
        if re.fullmatch(name, path.name) is None:
            continue
        if content:
            text = read_text(path) if text is None else text
            if re.search(content, text, re.MULTILINE) is None:
                continue
        yield Sign(kind=kind, tool=tool, where=str(relative), instead=instead, near=len(relative.parts) == 1)
