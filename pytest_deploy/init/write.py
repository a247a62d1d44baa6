"""From what was seen to the files: rendered, and written where nothing stands yet."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.resources import files as package_files
from pathlib import Path

from pytest_deploy.adapters.repository import read_text
from pytest_deploy.init.rollout import suggested
from pytest_deploy.init.seen import Seen

__all__ = ["files", "todo", "write"]


def files(seen: Seen, folder: Path) -> dict[str, str]:
    """Return the text of each file by its path from the top, in the order in which they are told."""
    made = {"deploy.yaml": _render("deploy.yaml.j2", seen)}
    made |= _features(seen)
    feature = next(reversed([name for name in made if name.endswith(".feature")]))
    if not seen.ignores_reports and not (folder / ".gitignore").exists():
        made[".gitignore"] = "reports/\n"
    if seen.gitops is None and seen.smoke is None:
        made["scripts/smoke.sh"] = _render("smoke.sh.j2", seen)
    if seen.github:
        name = f".github/workflows/deploy-{seen.service}"
        made[f"{name}.yml"] = _render("workflow.yml.j2", seen, feature=feature)
        if seen.gitops is None:
            made[f"{name}-recover.yml"] = _render("recover.yml.j2", seen)
    if seen.gitops is None and seen.workload == "Deployment":
        rollout = suggested(read_text(folder / seen.workload_file), seen.steps)
        if rollout is not None:
            made[f"{seen.chart}/rollout.suggested.yaml"] = rollout
    return made


def _features(seen: Seen) -> dict[str, str]:
    if seen.gitops is None:
        return {
            "features/release_candidate.feature": _render("candidate.feature.j2", seen),
            "features/prod_canary.feature": _render("canary.feature.j2", seen),
        }
    return {
        f"features/{place.name}_gitops.feature": _render("gitops.feature.j2", seen, place=place.name)
        for place in seen.places
        if place.gitops_file
    }


def write(made: Mapping[str, str], folder: Path) -> Iterator[tuple[str, bool]]:
    """Write each file that is not there, and yield its path and whether it was written; nothing is ever overwritten."""
    for name, text in made.items():
        path = folder / name
        if os.path.lexists(path):
            yield name, False
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        if text.startswith("#!"):
            path.chmod(0o755)
        yield name, True


def todo(made: Mapping[str, str], seen: Seen) -> Iterator[str]:
    """Yield what only a person knows: each line marked CHANGE, and what the chart lacks."""
    for name, text in made.items():
        for number, line in enumerate(text.splitlines(), start=1):
            _, mark, what = line.partition("CHANGE: ")
            if mark:
                yield f"{name}:{number}: {what}"
    if not seen.ignores_reports and ".gitignore" not in made:
        yield ".gitignore: add reports/, which each deploy writes"
    if seen.gitops is None and seen.workload == "Deployment":
        suggestion = f"{seen.chart}/rollout.suggested.yaml"
        how = f"{suggestion} in its place does" if suggestion in made else "kind: Rollout with canary steps does"
        yield (
            f"{seen.workload_file}: a Deployment can't serve a share of the traffic, and strategy: rolling is not "
            f"built yet; {how} (Argo Rollouts must run in the cluster)"
        )
    if seen.gitops is None and not seen.pins_by_digest:
        image = "{{ .Values.image.repository }}@{{ .Values.image.digest }}"
        yield f"{seen.workload_file}: the container's image must be {image}"


def _render(template: str, seen: Seen, **more: object) -> str:
    import jinja2

    # Other marks than Jinja's own: GitHub's expressions and Helm's templates are full of double braces.
    environment = jinja2.Environment(
        block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>", undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True, autoescape=False,  # noqa: S701 - YAML and Gherkin, not HTML
    )  # fmt: skip
    source = package_files("pytest_deploy.init").joinpath("templates", template).read_text("utf-8")
    values = asdict(seen) | {"steps": list(seen.steps), "tests": list(seen.tests)}
    return environment.from_string(source).render(**(values | more))
