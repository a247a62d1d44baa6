"""Where Argo CD or Flux takes a chart's values from."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from pytest_deploy.adapters.repository import files_below, read_text

__all__ = ["Kept", "KeptPlace", "look"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPlace:
    """One environment that a controller keeps.

    Args:
        file: where its digest stands, in the environment repository.
        key: None: the default of such a file.
    """

    file: str
    key: str | None = None
    namespace: str | None = None
    repository: str | None = None
    branch: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a controller keeps, by the environment's name as the files call it.

    Args:
        repository: None: nothing says, so this one.
    """

    tool: str
    places: Mapping[str, KeptPlace]
    repository: str | None
    branch: str


def look(folder: Path, chart: Path, names: Collection[str]) -> Kept | None:
    """Return what is kept by GitOps; None where no manifest of it is here.

    Args:
        names: of environments, as files may call them.
    """
    found: dict[str, dict[str, KeptPlace]] = {}
    for path in files_below(folder):
        if path.suffix not in {".yaml", ".yml"}:
            continue
        relative = path.relative_to(folder).as_posix()
        for document in _documents(path):
            tool, place = _place(document, relative, chart.relative_to(folder).as_posix())
            if place is not None:
                name = _environment(document, place, relative, names)
                found.setdefault(tool, {}).setdefault(name, place)
    for tool, places in found.items():
        some = list(places.values())
        return Kept(
            tool=tool,
            places=places,
            repository=next((each.repository for each in some if each.repository), None),
            branch=next((each.branch for each in some if each.branch), "main"),
        )
    return None


def _place(document: Mapping[str, Any], path: str, chart: str) -> tuple[str, KeptPlace | None]:
    group, kind = str(document.get("apiVersion", "")), document.get("kind")
    spec = _at(document, "spec")
    if group.startswith("argoproj.io/") and kind == "Application":
        return "Argo CD", _of_argo_cd(spec, path)
    if group.startswith("helm.toolkit.fluxcd.io/") and kind == "HelmRelease":
        namespace = spec.get("targetNamespace") or _at(document, "metadata").get("namespace")
        return "Flux", KeptPlace(file=path, key="spec.values.image.digest", namespace=namespace)
    del chart
    return "", None


def _of_argo_cd(spec: Mapping[str, Any], path: str) -> KeptPlace | None:
    """The values file of a chart, the kustomization of a folder, or values in the Application itself.

    https://argo-cd.readthedocs.io/en/stable/operator-manual/application.yaml
    """
    many = spec.get("sources")
    sources = [each for each in many if isinstance(each, dict)] if isinstance(many, list) else [_at(spec, "source")]
    namespace = _at(spec, "destination").get("namespace")
    for source in sources:
        helm = _at(source, "helm")
        files = helm.get("valueFiles")
        common = {"namespace": namespace, "repository": source.get("repoURL"), "branch": _branch(source)}
        if isinstance(files, list) and files:
            return KeptPlace(file=_file(source, str(files[-1])), **_referred(sources, str(files[-1]), common))
        if isinstance(helm.get("valuesObject"), dict):
            prefix = "spec.sources" if isinstance(many, list) else "spec.source"
            if prefix == "spec.source":
                return KeptPlace(file=path, key=f"{prefix}.helm.valuesObject.image.digest", namespace=namespace)
        if source.get("path") and not source.get("chart"):
            folder = PurePosixPath(str(source["path"]))
            name = "kustomization.yaml" if "kustomize" in source or "overlays" in folder.parts else "values.yaml"
            return KeptPlace(file=str(folder / name), **common)
    return None


def _file(source: Mapping[str, Any], name: str) -> str:
    """Return a values file's path in its repository: it is taken from the source's path, and may lead up from it."""
    if name.startswith("$"):
        return name.partition("/")[2]
    if name.startswith("/"):
        return name.lstrip("/")
    parts: list[str] = []
    for part in PurePosixPath(str(source.get("path") or "."), name).parts:
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _referred(sources: list[dict[str, Any]], name: str, common: dict[str, Any]) -> dict[str, Any]:
    """Return repository and branch of ``$ref/path``: those of the source that is called so."""
    if not name.startswith("$"):
        return common
    ref = name[1:].partition("/")[0]
    other = next((each for each in sources if each.get("ref") == ref), {})
    return {**common, "repository": other.get("repoURL"), "branch": _branch(other)}


def _branch(source: Mapping[str, Any]) -> str | None:
    revision = str(source.get("targetRevision") or "")
    return None if revision in {"", "HEAD"} or not re.fullmatch(r"[A-Za-z0-9_][\w./-]*", revision) else revision


def _environment(document: Mapping[str, Any], place: KeptPlace, path: str, names: Collection[str]) -> str:
    """Return the environment's name as one of the texts around it says; "prod" where none does."""
    metadata = _at(document, "metadata")
    texts = (place.file, str(metadata.get("name")), str(place.namespace), path)
    for text in texts:
        words = re.split(r"[^a-z0-9]+", text.lower())
        for name in names:
            if name in words:
                return name
    return "prod"


def _documents(path: Path) -> Iterator[Mapping[str, Any]]:
    text = read_text(path)
    if "argoproj.io/" not in text and "fluxcd.io/" not in text:
        return
    try:
        loaded = list(yaml.safe_load_all(text))
    except yaml.YAMLError:
        return
    yield from (document for document in loaded if isinstance(document, dict))


def _at(node: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = node.get(key)
    return found if isinstance(found, dict) else {}
