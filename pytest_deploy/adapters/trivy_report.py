"""What trivy's JSON report says: https://trivy.dev/latest/docs/configuration/reporting/#json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["SEVERITIES", "Finding", "Report", "Versions", "table"]

SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN")
_TITLE = 60


class _Json(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Finding(_Json):
    """One vulnerability in one package."""

    id: str = Field(alias="VulnerabilityID")
    package: str = Field(alias="PkgName")
    installed: str = Field(default="", alias="InstalledVersion")
    fixed: str = Field(default="", alias="FixedVersion")
    severity: str = Field(alias="Severity")
    title: str = Field(default="", alias="Title")

    @property
    def words(self) -> str:
        """In a line."""
        fix = f"fixed in {self.fixed}" if self.fixed else "no fix yet"
        return f"{self.id} in {self.package} {self.installed} ({self.severity}, {fix})"


class _Modified(_Json):
    status: str = Field(alias="Status")
    finding: Finding = Field(alias="Finding")


class _Result(_Json):
    target: str = Field(alias="Target")
    kind: str = Field(default="", alias="Class")
    packages: tuple[dict[str, object], ...] = Field(default=(), alias="Packages")
    findings: tuple[Finding, ...] = Field(default=(), alias="Vulnerabilities")
    modified: tuple[_Modified, ...] = Field(default=(), alias="ExperimentalModifiedFindings")


class _System(_Json):
    family: str = Field(alias="Family")
    name: str = Field(default="", alias="Name")
    end_of_life: bool = Field(default=False, alias="EOSL")


class _Config(_Json):
    architecture: str = ""
    os: str = ""
    variant: str = ""


class _Metadata(_Json):
    system: _System | None = Field(default=None, alias="OS")
    digests: tuple[str, ...] = Field(default=(), alias="RepoDigests")
    config: _Config = Field(default=_Config(), alias="ImageConfig")


class Report(_Json):
    """The report of one image, for one platform."""

    artifact: str = Field(alias="ArtifactName")
    metadata: _Metadata = Field(default=_Metadata(), alias="Metadata")
    results: tuple[_Result, ...] = Field(default=(), alias="Results")

    @property
    def platform(self) -> str:
        """As docker writes it: ``linux/amd64``."""
        at = self.metadata.config
        return "/".join(filter(None, (at.os, at.architecture, at.variant))) or "unknown platform"

    @property
    def system(self) -> str:
        """Distribution and version; "no distribution" where the image has none."""
        at = self.metadata.system
        return f"{at.family} {at.name}".strip() if at else "no distribution"

    @property
    def packages(self) -> int:
        """How many packages were looked at."""
        return sum(len(result.packages) for result in self.results)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found and is not ignored, the worst first."""
        found = [finding for result in self.results for finding in result.findings]
        rank = {severity: place for place, severity in enumerate(SEVERITIES)}
        return tuple(sorted(found, key=lambda f: (rank.get(f.severity, len(rank)), f.package, f.id)))

    @property
    def ignored(self) -> tuple[str, ...]:
        """What the ignore file has taken out, by id."""
        return tuple(each.finding.id for result in self.results for each in result.modified if each.status == "ignored")

    @property
    def unseen(self) -> str:
        """Why this report is no proof of anything; "" where it is one."""
        if not self.packages:
            return "it found no package that it knows: nothing was compared with the database"
        system = self.metadata.system
        if system is not None and not any(r.kind == "os-pkgs" and r.packages for r in self.results):
            return f"it did not look at the packages of {self.system}: it does not know them, or their list is gone"
        return ""


class _Database(_Json):
    updated_at: datetime = Field(alias="UpdatedAt")


class Versions(_Json):
    """What ``trivy version --format json`` prints."""

    version: str = Field(alias="Version")
    database: _Database | None = Field(default=None, alias="VulnerabilityDB")


@dataclass(frozen=True, slots=True)
class _Row:
    platform: str
    finding: Finding

    @property
    def cells(self) -> tuple[str, ...]:
        f = self.finding
        return (f.severity, f.id, f.package, f.installed, f.fixed or "-", self.platform, f.title[:_TITLE])


def table(reports: Sequence[Report]) -> str:
    """Return all findings as a table of text."""
    rows = [_Row(report.platform, finding).cells for report in reports for finding in report.findings]
    lines = [("SEVERITY", "ID", "PACKAGE", "INSTALLED", "FIXED IN", "PLATFORM", "TITLE"), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )
