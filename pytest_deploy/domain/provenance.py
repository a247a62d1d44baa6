"""What an image's attestations must say: how it was built (SLSA provenance), and what it holds (SBOM)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["PROVENANCE", "SBOM", "Wanted", "judge_provenance", "judge_sbom", "predicate_type"]

PROVENANCE = ("https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v0.2")
SBOM = ("https://spdx.dev/Document", "https://cyclonedx.org/bom")
_STATEMENTS = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")

_BUILDKIT = frozenset({"configSource", "request"})
_REQUEST = frozenset(
    {
        "frontend",
        "args",
        "secrets",
        "ssh",
        "locals",
        "inputs",
        "root",
        "compatibilityVersion",
        "configSource",
        "request",
    }
)
_BUILD_TYPES: Mapping[str, frozenset[str]] = {
    "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md": _BUILDKIT,
    "https://mobyproject.org/buildkit@v1": _BUILDKIT,
    "https://actions.github.io/buildtypes/workflow/v1": frozenset({"workflow"}),
    "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1": frozenset({"inputs", "vars", "workflow"}),
}
"""The parameters from outside that each kind of build may have: what a verifier does not know, it must not pass
(https://slsa.dev/spec/v1.0/verifying-artifacts)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is expected of an image's provenance.

    Args:
        builder: what the builder's id begins with; None: any, and it is told which.
        commit: of the source, as far as the provenance names one; None: any.
    """

    builder: str | None = None
    commit: str | None = None


def predicate_type(statement: Mapping[str, Any]) -> str:
    """Return what an in-toto statement is about; "" where it is none."""
    return str(statement.get("predicateType", "")) if statement.get("_type") in _STATEMENTS else ""


def judge_provenance(statement: Mapping[str, Any], subject: str, wanted: Wanted) -> tuple[str, Sequence[str]]:
    """Return the builder in words, and all that is wrong; () when nothing is.

    Args:
        subject: ``sha256:...`` that the statement must be about.
    """
    wrong = _about(statement, subject)
    predicate = _object(statement.get("predicate"))
    if predicate_type(statement) == PROVENANCE[0]:
        definition = _object(predicate.get("buildDefinition"))
        builder = str(_object(_object(predicate.get("runDetails")).get("builder")).get("id", ""))
        build_type, outside = str(definition.get("buildType", "")), _object(definition.get("externalParameters"))
        metadata = _object(_object(predicate.get("runDetails")).get("metadata")).get("buildkit_metadata")
    else:
        invocation = _object(predicate.get("invocation"))
        builder = str(_object(predicate.get("builder")).get("id", ""))
        build_type = str(predicate.get("buildType", ""))
        outside = {"configSource": invocation.get("configSource"), "request": invocation.get("parameters", {})}
        metadata = _object(predicate.get("metadata")).get("https://mobyproject.org/buildkit@v1#metadata")
    wrong += _parameters(build_type, outside)
    if wanted.builder is not None and not builder.startswith(wanted.builder):
        wrong.append(f"built by {builder or 'a builder without an id'}, expected is {wanted.builder}")
    revision = str(_object(_object(metadata).get("vcs")).get("revision", ""))
    if wanted.commit is not None and revision and revision.removesuffix("-dirty") != wanted.commit:
        wrong.append(f"built from commit {revision[:12]}, expected is {wanted.commit[:12]}")
    return builder or "a builder without an id", wrong


def judge_sbom(statement: Mapping[str, Any], subject: str) -> tuple[int, Sequence[str]]:
    """Return how many packages it lists, and all that is wrong; () when nothing is."""
    wrong = _about(statement, subject)
    predicate = _object(statement.get("predicate"))
    listed = predicate.get("packages") or predicate.get("components") or ()
    count = len(listed) if isinstance(listed, list) else 0
    if not count:
        wrong.append("the SBOM lists no package: whatever made it has not seen what is in the image")
    return count, wrong


def _about(statement: Mapping[str, Any], subject: str) -> list[str]:
    subjects = statement.get("subject")
    named = [
        _object(_object(each).get("digest")).get("sha256") for each in subjects or () if isinstance(subjects, list)
    ]
    if subject.removeprefix("sha256:") in named:
        return []
    shown = ", ".join(f"sha256:{str(each)[:12]}" for each in named) or "nothing"
    return [f"it is about {shown}, not about {subject[:19]}"]


def _parameters(build_type: str, outside: Mapping[str, Any]) -> list[str]:
    known = _BUILD_TYPES.get(build_type)
    if known is None:
        return [f"the kind of build is not known: {build_type or 'none is named'}"]
    unknown = sorted(outside.keys() - known)
    if known is _BUILDKIT:
        unknown += [f"request.{name}" for name in sorted(_object(outside.get("request")).keys() - _REQUEST)]
    return [f"parameters of the build that are not known: {', '.join(unknown)}"] if unknown else []


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
