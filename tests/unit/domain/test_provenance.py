"""Provenance and SBOM: what a verifier does not know, it must not pass."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_deploy.domain.provenance import Wanted, judge_provenance, judge_sbom, predicate_type

SUBJECT = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
ANY = Wanted()


def statement(
    predicate: object, kind: str = "https://slsa.dev/provenance/v1", subject: str = SUBJECT
) -> dict[str, Any]:
    """Return an in-toto statement about one image."""
    about = [{"name": "app", "digest": {"sha256": subject.removeprefix("sha256:")}}]
    return {"_type": "https://in-toto.io/Statement/v1", "predicateType": kind, "subject": about, "predicate": predicate}


def v1(**outside: object) -> dict[str, Any]:
    """Return what BuildKit 0.34 writes, with these parameters from outside."""
    return {
        "buildDefinition": {
            "buildType": "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
            "externalParameters": {"configSource": {"path": "Dockerfile"}, "request": {"frontend": "f"}, **outside},
        },
        "runDetails": {
            "builder": {"id": "https://ci.example.com/7"},
            "metadata": {"buildkit_metadata": {"vcs": {"revision": "1" * 40}}},
        },
    }


def v02(revision: str = "1" * 40) -> dict[str, Any]:
    """Return what older BuildKits write."""
    return {
        "buildType": "https://mobyproject.org/buildkit@v1",
        "builder": {"id": "https://ci.example.com/7"},
        "invocation": {"configSource": {"entryPoint": "Dockerfile"}, "parameters": {"frontend": "f"}},
        "metadata": {"https://mobyproject.org/buildkit@v1#metadata": {"vcs": {"revision": revision}}},
    }


@pytest.mark.parametrize(
    ("predicate", "kind"),
    [(v1(), "https://slsa.dev/provenance/v1"), (v02(), "https://slsa.dev/provenance/v0.2"),
     (v02("1" * 40 + "-dirty"), "https://slsa.dev/provenance/v0.2")],
)  # fmt: skip
def test_both_versions_of_slsa_are_understood(predicate: object, kind: str) -> None:
    """The builder is named, the commit and the builder that are wanted are found."""
    wanted = Wanted(builder="https://ci.example.com/", commit="1" * 40)
    assert judge_provenance(statement(predicate, kind), SUBJECT, wanted) == ("https://ci.example.com/7", [])


@pytest.mark.parametrize(
    ("made", "wanted", "wrong"),
    [
        (statement(v1(), subject=OTHER), ANY, "it is about sha256:bbbbbbbbbbbb, not about sha256:aaaaaaaaaaaa"),
        ({**statement(v1()), "subject": None}, ANY, "it is about nothing, not about sha256:aaaaaaaaaaaa"),
        ({**statement(v1()), "subject": ["x"]}, ANY, "it is about sha256:None, not about sha256:aaaaaaaaaaaa"),
        (statement(v1(override="x")), ANY, "parameters of the build that are not known: override"),
        (statement(v1(request={"hook": 1})), ANY, "parameters of the build that are not known: request.hook"),
        (statement({"buildDefinition": {"buildType": "https://x"}}), ANY, "the kind of build is not known: https://x"),
        (statement({}), ANY, "the kind of build is not known: none is named"),
        (statement(v1()), Wanted(builder="https://other/"), "built by https://ci.example.com/7, expected is https://other/"),
        (statement(v1()), Wanted(commit="2" * 40), "built from commit 111111111111, expected is 222222222222"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(made: dict[str, Any], wanted: Wanted, wrong: str) -> None:
    """Each thing that is wrong in one way is named, with what was expected."""
    assert judge_provenance(made, SUBJECT, wanted)[1] == [wrong]


def test_a_builder_without_an_id_and_a_source_without_a_commit_are_told_not_refused() -> None:
    """Outside of CI BuildKit names neither: nothing is wrong where nothing is wanted."""
    made = v02()
    made["builder"], made["metadata"] = {"id": ""}, {}
    old = statement(made, "https://slsa.dev/provenance/v0.2")
    assert judge_provenance(old, SUBJECT, Wanted(commit="2" * 40)) == ("a builder without an id", [])
    wrong = judge_provenance(old, SUBJECT, Wanted(builder="https://ci/"))[1]
    assert wrong == ["built by a builder without an id, expected is https://ci/"]


def test_workflows_of_github_are_known() -> None:
    """What actions/attest-build-provenance writes has parameters of its own."""
    made = {
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {"workflow": {"ref": "refs/heads/main"}},
        },
    }
    assert judge_provenance(statement(made), SUBJECT, ANY)[1] == []


@pytest.mark.parametrize(
    ("predicate", "count", "wrong"),
    [
        ({"packages": [{"name": "a"}, {"name": "b"}]}, 2, False),
        ({"components": [{"name": "a"}]}, 1, False),
        ({"packages": []}, 0, True),
        ({"packages": "many"}, 0, True),
        (None, 0, True),
    ],
)
def test_an_sbom_lists_packages(predicate: object, count: int, wrong: bool) -> None:
    """SPDX or CycloneDX; one that lists nothing is no SBOM."""
    found, problems = judge_sbom(statement(predicate, "https://spdx.dev/Document"), SUBJECT)
    assert (found, bool(problems)) == (count, wrong)
    assert len(judge_sbom(statement(predicate, "https://spdx.dev/Document", OTHER), SUBJECT)[1]) == 1 + wrong


def test_what_is_no_statement_is_about_nothing() -> None:
    """The type of a predicate counts only in a statement."""
    assert predicate_type(statement({})) == "https://slsa.dev/provenance/v1"
    assert not predicate_type({"_type": "https://x", "predicateType": "https://slsa.dev/provenance/v1"})
