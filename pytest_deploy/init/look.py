"""Looks at a repository: files only; nothing is run, nothing is contacted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from pytest_deploy.adapters.repository import files_below, read_text, signs
from pytest_deploy.engine.detect import check_files
from pytest_deploy.errors import Refused
from pytest_deploy.init import gitops
from pytest_deploy.init.chart import Chart
from pytest_deploy.init.seen import Place, Seen

__all__ = ["look"]

_STEPS = (5, 25, 50, 100)
_NAMES = {
    "staging": ("staging", "stage", "stg", "preprod"),
    "prod": ("prod", "production", "prd", "live"),
}
"""What deploy.yaml calls an environment, and what files and contexts call it."""
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_PROMETHEUS = re.compile(
    r"https?://[a-z0-9.-]*(?:prometheus|thanos|mimir)[a-z0-9.-]*(?::\d+)?(?:/[\w./-]+)?", re.IGNORECASE
)
_OWN = ("smoke.sh", "smoke-test.sh", "smoke_test.sh")


def look(folder: Path, environ: Mapping[str, str]) -> Seen:
    """Return what was seen.

    Args:
        environ: where KUBECONFIG and HOME are looked up, for the names of contexts.

    Raises:
        Refused: this is no place for a deploy by this tool; with what to use instead, or what is missing.
    """
    check_files(signs(folder))
    chart = Chart.find(folder)
    remote = _origin(folder)
    service = _service(folder, chart, remote)
    contexts = _contexts(environ)
    kept = gitops.look(folder, chart.path, {name for names in _NAMES.values() for name in names})
    places = tuple(_place(name, chart, contexts, kept) for name in _NAMES)
    if kept is not None and not any(place.gitops_file for place in places):
        kept = None
    code_owner = _code_owner(folder)
    weights, source = chart.steps
    other = kept.repository if kept is not None and not _same(kept.repository, remote) else None
    host = other or remote or ""
    return Seen(
        service=service,
        chart=chart.path.relative_to(folder).as_posix(),
        image=chart.image or _image(remote, service),
        workload=chart.workload,
        workload_file=chart.workload_file.relative_to(folder).as_posix(),
        pins_by_digest=chart.pins_by_digest,
        container=None if chart.container in {service, None} else chart.container,
        steps=weights or _STEPS,
        steps_from=source,
        places=places,
        tests=tuple(_tests(folder)),
        owner=code_owner or f"{service}-team",
        approver=code_owner,
        prometheus=next(_prometheus(folder), None),
        checklist=_first(folder, ("deployment-checklist.md", "docs/deployment-checklist.md")),
        smoke=_first(folder, tuple(f"scripts/{name}" for name in _OWN)),
        gitops=kept.tool if kept is not None else None,
        gitops_repository=other,
        pull_requests="github" in host,
        branch=kept.branch if kept is not None else "main",
        ignores_reports=re.search(r"^/?reports/?$", read_text(folder / ".gitignore"), re.MULTILINE) is not None,
        github=(folder / ".github").is_dir() or remote is None or "github" in remote,
    )


def _service(folder: Path, chart: Chart, remote: str | None) -> str:
    for name in (chart.name, folder.resolve().name, (remote or "").rstrip("/").removesuffix(".git").rpartition("/")[2]):
        if _LABEL.fullmatch(name) and len(name) <= 53:
            return name
    raise Refused(f"the chart's name {chart.name!r} is no Kubernetes name", hint="correct name: in its Chart.yaml")


def _place(name: str, chart: Chart, contexts: list[str], kept: gitops.Kept | None) -> Place:
    there = kept.places.get(name) if kept is not None else None
    for called in _NAMES[name]:
        if there is None and kept is not None:
            there = kept.places.get(called)
    return Place(
        name=name,
        namespace=(there.namespace if there else None) or name,
        values_file=next(filter(None, map(chart.values_file, _NAMES[name])), None),
        context=next(
            (c for called in _NAMES[name] for c in contexts if called in re.split(r"[^a-z0-9]+", c.lower())), None
        ),
        gitops_file=there.file if there else None,
        gitops_key=there.key if there else None,
    )


def _tests(folder: Path) -> Iterator[str]:
    text = read_text(folder / "Makefile")
    for target in ("test", "integration-test"):
        if re.search(rf"^{target}\s*:(?!=)", text, re.MULTILINE):
            yield f"make {target}"


def _code_owner(folder: Path) -> str | None:
    for path in (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"):
        lines = [line.split("#")[0].split() for line in read_text(folder / path).splitlines()]
        owners = [words[1] for words in lines if len(words) > 1 and words[0] == "*" and words[1].startswith("@")]
        if owners:
            return owners[-1]
    return None


def _prometheus(folder: Path) -> Iterator[str]:
    others = (folder / name for name in ("Makefile", "scripts/check-slo.sh", "README.md"))
    for path in (*others, *files_below(folder)):
        found = _PROMETHEUS.search(read_text(path))
        if found is not None:
            yield found[0].rstrip("/.")


def _origin(folder: Path) -> str | None:
    """Return the address of git's origin, read from its configuration: git itself need not be there."""
    found = re.search(r'\[remote "origin"\][^\[]*?\burl\s*=\s*(\S+)', read_text(folder / ".git" / "config"))
    return found[1] if found else None


def _same(one: str | None, other: str | None) -> bool:
    def short(address: str) -> str:
        return re.sub(r"^(?:https?://|ssh://)?(?:[^@/]+@)?|\.git/?$", "", address).replace(":", "/").lower()

    return one is None or (other is not None and short(one) == short(other))


def _image(remote: str | None, service: str) -> str:
    found = re.search(r"github\.com[/:]([A-Za-z0-9-]+)/", remote or "")
    return f"ghcr.io/{(found[1] if found else 'example').lower()}/{service}"


def _contexts(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the contexts that kubectl would know."""
    default = str(Path(environ.get("HOME", "/"), ".kube", "config"))
    names: list[str] = []
    for text in (environ.get("KUBECONFIG") or default).split(":"):
        try:
            config: Any = yaml.safe_load(read_text(Path(text)))
        except yaml.YAMLError:
            continue
        listed = config.get("contexts") if isinstance(config, dict) else None
        names += [str(each.get("name")) for each in listed or () if isinstance(each, dict)]
    return names


def _first(folder: Path, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if (folder / name).is_file()), None)
