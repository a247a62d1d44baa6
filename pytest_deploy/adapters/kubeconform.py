"""kubeconform, against the schemas that a cluster itself gives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pytest_deploy.errors import ToolFailed, ToolTimedOut
from pytest_deploy.io.process import run
from pytest_deploy.io.team_program import last_lines

if TYPE_CHECKING:
    from pytest_deploy.adapters.cluster_schemas import ClusterSchemas

__all__ = ["Verdict", "resources", "validate"]

_LAYOUT = "{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"
_TIMEOUT_S = 60.0
_LEAF = re.compile(r"- at '([^']*)': (.*?)(?= +- at '|$)")
_BRANCH = re.compile(r"'(?:anyOf|oneOf|allOf)' failed|got \w+, want null$|validation failed")
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What kubeconform said.

    Args:
        valid: how many objects are valid.
        problems: what is wrong with the others, one line each.
        output: all of it, as JSON.
    """

    valid: int
    problems: tuple[str, ...]
    output: str


def resources(manifests: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield each object, those of lists one by one, as kubeconform counts them."""
    for manifest in manifests:
        items = manifest.get("items")
        if str(manifest.get("kind", "")) == "List" and isinstance(items, list):
            yield from (item for item in items if isinstance(item, Mapping))
        else:
            yield manifest


def validate(binary: str, text: str, manifests: Sequence[Mapping[str, Any]], schemas: ClusterSchemas) -> Verdict:
    """Validate rendered manifests as strictly as kubeconform can.

    Args:
        text: as it was rendered: a key that stands twice is lost once it is parsed.
        manifests: the same, parsed.

    Raises:
        ToolMissing, ToolFailed, ToolTimedOut: there is no answer, or not about each of the objects.
        RemoteError: the cluster does not tell its API.
    """
    wanted = {(str(each.get("apiVersion")), str(each.get("kind"))) for each in resources(manifests)}
    missing: set[tuple[str, str]] = set()
    with TemporaryDirectory(prefix="pytest-deploy-schemas-") as folder:
        for api_version, kind in sorted(wanted):
            schema = schemas.schema(api_version, kind)
            if schema is None:
                missing.add((api_version, kind))
                continue
            group, _, version = api_version.rpartition("/")
            path = Path(folder) / (group or version) / f"{kind.lower()}_{version}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(schema), "utf-8")
        argv = (
            binary, "-strict", "-summary", "-verbose", "-output", "json",
            "-schema-location", f"{folder}/{_LAYOUT}", "-",
        )  # fmt: skip
        done = run(argv, timeout_s=_TIMEOUT_S, stdin=text)
    if done.timed_out:
        raise ToolTimedOut(f"kubeconform had not ended after {done.seconds:.0f} s and was ended: no verdict")
    try:
        found = json.loads(done.stdout)
        counts, rows = found["summary"], found["resources"]
        valid, skipped = int(counts["valid"]), int(counts["skipped"])
        problems = tuple(_problem(row, missing, schemas) for row in rows if row["status"] != "statusValid")
    except (ValueError, KeyError, TypeError) as error:
        said = last_lines(done.stderr or done.stdout, _SHOWN) or "nothing"
        raise ToolFailed(
            f"kubeconform ended with {done.status} and without a report; it said: {said}",
            hint=f"is tools.kubeconform really kubeconform, 0.6 or later? {binary} -v",
        ) from error
    objects = sum(1 for _ in resources(manifests))
    if skipped or valid + len(problems) != objects:
        raise ToolFailed(
            f"kubeconform looked at {valid + len(problems)} of {objects} rendered objects and skipped {skipped}: "
            "the others are not proved to be valid",
            hint="see its output, which is attached",
        )
    return Verdict(valid=valid, problems=problems, output=done.stdout)


def _problem(row: Mapping[str, Any], missing: set[tuple[str, str]], schemas: ClusterSchemas) -> str:
    api_version, kind, name = str(row.get("version")), str(row.get("kind")), str(row.get("name"))
    what = f"{kind}/{name} ({api_version})"
    if (api_version, kind) in missing:
        group = api_version.rpartition("/")[0]
        serves = [each for each in schemas.api_versions() if each.rpartition("/")[0] == group]
        instead = (
            f"; of that group it serves {', '.join(serves)}"
            if serves
            else "; it has no API of that group: apply its CRD first"
        )
        return f"{what}: the cluster does not serve this kind{instead}"
    said = " ".join(str(row.get("msg", "")).split())
    leaves = list(dict.fromkeys(f"{at or '/'}: {why}" for at, why in _leaves(said)))
    more = f" (and {len(leaves) - _SHOWN} more)" if len(leaves) > _SHOWN else ""
    return f"{what}: {'; '.join(leaves[:_SHOWN]) or said}{more}"


def _leaves(message: str) -> Iterator[tuple[str, str]]:
    """Yield place and reason out of kubeconform's tree of reasons, without the branches that lead there."""
    for place, why in _LEAF.findall(message):
        if not _BRANCH.match(why):
            yield place, why.strip().replace("want null or ", "want ")
