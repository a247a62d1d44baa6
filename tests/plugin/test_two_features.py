"""A release candidate and its deploy, rehearsed; and a real deploy that would leave staging out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.test_rehearsed_deploys import ROOT, Ran

RECORD = ("--deploy-set", "record.max_age_hours=24")


def test_both_can_be_rehearsed(tmp_path: Path) -> None:
    """The first leaves its record; the second finds one made up for the rehearsal, and says that it is."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    candidate = Ran(first, "features/release_candidate.feature", "--rehearse", *RECORD)
    assert candidate.status == 0, candidate.out
    assert "rehearsed: record of deploy" in candidate.note
    deploy = Ran(second, "features/prod_canary.feature", "--rehearse", *RECORD)
    assert deploy.status == 0, deploy.out
    assert "record of rehearsed-release-candidate, commit" in deploy.note
    assert "by its signed record: rehearsed: nothing was staged" in deploy.note


@pytest.mark.parametrize("asked", [False, True], ids=["no staging", "a record, and no section"])
def test_staging_cant_be_left_out(tmp_path: Path, *, asked: bool) -> None:
    """A real feature that brings an image to prod first of all is refused before anything is contacted."""
    text = (ROOT / "features" / "prod_canary.feature").read_text("utf-8")
    head, staging, rest = text.partition("  Scenario: Staging\n")
    without = head + "  Scenario: Approval\n" + rest.partition("  Scenario: Approval\n")[2]
    if not asked:
        without = without.replace(
            "    Given the release candidate's record is verified\n", "    Given no freeze is in force\n"
        )
    assert staging
    feature = tmp_path / "no_staging.feature"
    feature.write_text(without, "utf-8")
    options = ("--deploy-config", "deploy.yaml", f"--rootdir={ROOT}")
    ran = Ran(tmp_path, str(feature), *options, env={"CI": "true"})
    assert ran.status == 4, ran.out
    assert "nothing runs anywhere else before prod, and staging can't be skipped" in ran.out
    assert ("but deploy.yaml has no section 'record'" in ran.out) is asked
    assert "no kubeconfig" not in ran.out
