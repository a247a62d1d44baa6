"""The report in the cluster is what the deploy wrote, the most telling first, and never larger than it may be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_deploy.errors import Faulted
from pytest_deploy.incluster.report import LIMIT_BYTES, read_report, report_map


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The reports of a deploy."""
    path = tmp_path / "20261124T120000Z-shop-abcd"
    (path / "plots").mkdir(parents=True)
    (path / "deploy-note.md").write_text("# note", "utf-8")
    (path / "deploy.json").write_text("{}", "utf-8")
    (path / "plots" / "gate.svg").write_text("<svg/>", "utf-8")
    return path


def made(folder: Path | None, status: int = 0) -> dict[str, object]:
    """Return the ConfigMap."""
    return {**report_map("deploy-x", "shop", "uid-1", {"a": "b"}, status=status, folder=folder)}


def test_it_comes_back_as_it_was(folder: Path) -> None:
    """Status, deploy id and every file, those in folders too, are read as they were written."""
    left = read_report(made(folder, status=1))
    assert (left.status, left.deploy_id, left.left_out) == (1, folder.name, ())
    assert left.files == {
        "deploy-note.md": b"# note",
        "deploy.json": b"{}",
        "plots/gate.svg": b"<svg/>",
    }


def test_what_does_not_fit_is_named(folder: Path) -> None:
    """Measurements that are too large are left out by name; the note is there."""
    (folder / "measurements.jsonl").write_bytes(os.urandom(LIMIT_BYTES + 1))
    left = read_report(made(folder))
    assert left.left_out == ("measurements.jsonl",)
    assert left.files["deploy-note.md"] == b"# note"


def test_a_deploy_that_never_began_leaves_its_status() -> None:
    """Without reports there is still the exit status."""
    left = read_report(made(None, status=4))
    assert (left.status, left.deploy_id, left.files) == (4, "", {})


def test_it_goes_with_its_job() -> None:
    """The Job owns it."""
    metadata = report_map("deploy-x", "shop", "uid-1", {}, status=0, folder=None)["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["ownerReferences"] == [
        {"apiVersion": "batch/v1", "kind": "Job", "name": "deploy-x", "uid": "uid-1"}
    ]


@pytest.mark.parametrize("spoilt", [{"data": {}}, {"binaryData": {"a.gz": "bm90IGd6aXA="}}, {"data": None}])
def test_an_edited_one_is_told(spoilt: dict[str, object], folder: Path) -> None:
    """What can't be read as a report is an error with its name, not an exit status."""
    with pytest.raises(Faulted, match="deploy-x-report is no report"):
        read_report({**made(folder), **spoilt})
