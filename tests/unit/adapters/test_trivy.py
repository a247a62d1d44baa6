"""The scan, on a program that plays trivy with reports as the real one writes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.adapters.trivy import Trivy
from pytest_deploy.adapters.trivy_ignore import read_ignore_file
from pytest_deploy.errors import GateBreach, Refused, ToolFailed, ToolTimedOut
from pytest_deploy.testing.clock import FakeClock

DIGEST = "sha256:" + "1" * 64
SUBJECT = f'registry.example.com/shop@{DIGEST} "HIGH" or "CRITICAL"'
FIXED = {
    "VulnerabilityID": "CVE-1", "PkgName": "openssl", "InstalledVersion": "3.0.1", "FixedVersion": "3.0.2",
    "Severity": "HIGH", "Title": "t" * 100,
}  # fmt: skip
WORSE = {"VulnerabilityID": "CVE-2", "PkgName": "zlib", "InstalledVersion": "1", "Severity": "CRITICAL"}


def report(*findings: dict[str, str], ignored: tuple[dict[str, str], ...] = (), **changes: Any) -> dict[str, Any]:
    """A report of an image with two packages."""
    result = {
        "Target": "shop (debian 12.1)", "Class": "os-pkgs", "Type": "debian",
        "Packages": [{"Name": "openssl"}, {"Name": "zlib"}], "Vulnerabilities": list(findings),
        "ExperimentalModifiedFindings": [{"Type": "v", "Status": "ignored", "Finding": each} for each in ignored],
    }  # fmt: skip
    metadata = {
        "OS": {"Family": "debian", "Name": "12.1"}, "RepoDigests": [f"registry.example.com/shop@{DIGEST}"],
        "ImageConfig": {"os": "linux", "architecture": "amd64"},
    }  # fmt: skip
    return {"ArtifactName": "x", "Metadata": metadata | changes.pop("metadata", {}), "Results": [result]} | changes


@pytest.fixture
def scanner(tmp_path: Path) -> Callable[..., Trivy]:
    """Make a trivy that writes this report, from a database of this age."""

    def make(content: Any, *, age_h: float = 1, **settings: Any) -> Trivy:
        clock = FakeClock()
        updated = (clock.now() - timedelta(hours=age_h)).isoformat()
        (tmp_path / "report.json").write_text(content if isinstance(content, str) else json.dumps(content))
        (tmp_path / "version.json").write_text(json.dumps({"Version": "1", "VulnerabilityDB": {"UpdatedAt": updated}}))
        program = tmp_path / "trivy"
        program.write_text(
            f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n[ "$1" = version ] && exec cat {tmp_path}/version.json\n'
            f'while [ "$1" != --output ]; do shift; done\ncp {tmp_path}/report.json "$2"\n'
        )
        program.chmod(0o700)
        return Trivy(str(program), clock=clock, **settings)

    return make


def test_clean(scanner: Callable[..., Trivy], tmp_path: Path) -> None:
    """What was looked at is told; the severities are those of the feature, and trivy's exit status decides nothing."""
    found = scanner(report())(SUBJECT)
    assert found.words.startswith("no HIGH or CRITICAL vulnerability in 2 packages of debian 12.1, linux/amd64 (")
    call = (tmp_path / "calls").read_text().splitlines()[0]
    assert "--severity HIGH,CRITICAL --format json" in call
    assert "--exit-code 0" in call
    assert call.endswith(f"-- registry.example.com/shop@{DIGEST}")


def test_findings_are_sorted_and_told_once(scanner: Callable[..., Trivy]) -> None:
    """The worst comes first, the same one of two platforms counts once, and the table holds both."""
    scan = scanner(report(FIXED, WORSE), platforms=["linux/amd64", "linux/amd64"])
    with pytest.raises(GateBreach, match=r"has 2 of .*\(1 CRITICAL, 1 HIGH\): CVE-2 in zlib 1 .*; CVE-1 in") as refused:
        scan(SUBJECT)
    rows = refused.value.attachments[0].text.splitlines()
    assert [row.split()[0] for row in rows] == ["SEVERITY", "CRITICAL", "HIGH", "CRITICAL", "HIGH"]
    assert rows[2].endswith("t" * 60)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "0 characters that are no report"),
        ("{", "1 characters that are no report"),
        ({"Results": []}, "that are no report"),
        (report(metadata={"RepoDigests": ["x@sha256:2"]}), "was to scan sha256:1+, but scanned"),
        (report(metadata={"ImageConfig": {"os": "linux", "architecture": "s390x"}}), "but scanned linux/s390x"),
        (report(Results=[]), "found no package that it knows"),
        (
            report(Results=[{"Target": "app", "Class": "lang-pkgs", "Packages": [{"Name": "flask"}]}]),
            "did not look at the packages of debian 12.1",
        ),
    ],
)
def test_no_answer(scanner: Callable[..., Trivy], content: Any, said: str) -> None:
    """No report, a broken one, one of something else, and one that looked at nothing."""
    with pytest.raises(ToolFailed, match=said):
        scanner(content, platforms=["linux/amd64"])(SUBJECT)


def test_an_image_without_a_distribution_counts_by_its_programs(scanner: Callable[..., Trivy]) -> None:
    """A static Go program tells its modules: that is enough."""
    go = {"Target": "app", "Class": "lang-pkgs", "Type": "gobinary", "Packages": [{"Name": "stdlib"}]}
    assert "1 package of no distribution" in scanner(report(Results=[go], metadata={"OS": None}))(SUBJECT).words


def test_an_old_database_and_a_dead_distribution(scanner: Callable[..., Trivy]) -> None:
    """Neither can vouch for anything."""
    with pytest.raises(ToolFailed, match="49 h old; at most 48 h"):
        scanner(report(), age_h=49)(SUBJECT)
    old = {"OS": {"Family": "debian", "Name": "7", "EOSL": True}}
    with pytest.raises(GateBreach, match="gets no security updates any more"):
        scanner(report(metadata=old))(SUBJECT)


def test_a_hanging_scanner_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan past its time is no verdict."""
    monkeypatch.setattr("pytest_deploy.adapters.trivy._GRACE_S", 0.1)
    program = tmp_path / "trivy"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o700)
    with pytest.raises(ToolTimedOut, match="that is not clean"):
        Trivy(str(program), clock=FakeClock(), timeout=timedelta(seconds=0.1))(SUBJECT)


def test_ignored_findings_are_told(scanner: Callable[..., Trivy], tmp_path: Path) -> None:
    """With the day until which they are accepted."""
    ignore = tmp_path / "ignore"
    ignore.write_text("CVE-1 exp:2999-01-01\n")
    assert scanner(report(ignored=(FIXED,)), ignore_file=ignore)(SUBJECT).words.endswith(
        "ignored: CVE-1 until 2999-01-01"
    )


@pytest.mark.parametrize("severities", ["", "HIGH", '"HUGE"', '"HIGH" or "huge"'])
def test_severities_that_trivy_lacks(scanner: Callable[..., Trivy], severities: str) -> None:
    """Nothing is scanned for what is no severity."""
    with pytest.raises(Refused, match="no severities of trivy"):
        scanner(report())(f"x@{DIGEST} {severities}")


@pytest.mark.parametrize(
    ("name", "text", "ids"),
    [
        (".trivyignore", "# why\n\nCVE-1 exp:2026-01-02  # later\nGHSA-x exp:2026-03-04\n", ["CVE-1", "GHSA-x"]),
        ("a.yaml", "vulnerabilities: [{id: CVE-1, expired_at: 2026-01-02}]\nsecrets:\n", ["CVE-1"]),
        ("a.yml", "vulnerabilities: [{id: CVE-1, expired_at: '2026-01-02', paths: [x]}]\n", ["CVE-1"]),
        ("a.yaml", "vulnerabilities: [{id: CVE-1, expired_at: 2026-01-02T00:00:00Z}]\n", ["CVE-1"]),
    ],
)
def test_ignore_files(tmp_path: Path, name: str, text: str, ids: list[str]) -> None:
    """Both forms, with their dates."""
    path = tmp_path / name
    path.write_text(text)
    entries = read_ignore_file(path)
    assert [entry.id for entry in entries] == ids
    assert entries[0].until == datetime(2026, 1, 2, tzinfo=UTC).date()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (".trivyignore", "CVE-1\nCVE-2 exp:2026-01-01\nCVE-3 # for ever\n", r"line 1 \(CVE-1\), line 3 \(CVE-3\)"),
        (".trivyignore", "CVE-1 exp:tomorrow\n", "can't be read: Invalid isoformat"),
        ("a.yaml", "vulnerabilities: [{id: CVE-1}]\n", r"vulnerabilities, entry 1 \(CVE-1\)"),
        ("a.yaml", "- CVE-1\n", "no mapping at its top"),
        ("a.yaml", "vulnerabilities: [CVE-1]\n", "entry 1: it has no id"),
        ("a.yaml", "a: [\n", "can't be read"),
    ],
)
def test_ignore_files_that_are_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    """An entry without a date, and what is no ignore file."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(Refused, match=said):
        read_ignore_file(path)
