"""What deploy.yaml can say, as frozen pydantic models; ``load`` builds them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import Field, JsonValue, PrivateAttr

from pytest_deploy.config.approval_section import ApprovalSection
from pytest_deploy.config.check_sections import ChartChecksSection, ScanSection, TestsSection
from pytest_deploy.config.environment_section import EnvironmentSection
from pytest_deploy.config.fields import (
    DnsLabel,
    Image,
    Minutes,
    NotNull,
    PositiveNumber,
    Ratio,
    Steps,
    Text,
    Unbuilt,
)
from pytest_deploy.config.gitops_section import GitOpsSection
from pytest_deploy.config.incident_sections import IncidentsSection, WindowsSection
from pytest_deploy.config.load_section import LoadSection
from pytest_deploy.config.lock_section import LockSection
from pytest_deploy.config.metrics import GateSection, MetricsSection
from pytest_deploy.config.paths import ChartFolder, ExistingFile
from pytest_deploy.config.places import Places
from pytest_deploy.config.running_sections import TimeoutsSection, ToolsSection
from pytest_deploy.config.secrets import named_secrets
from pytest_deploy.config.section import Section
from pytest_deploy.config.smoke_section import SmokeSection
from pytest_deploy.config.supply_sections import BuildSection, RecordSection, SignSection
from pytest_deploy.domain.release import ImageRef, Release, Strategy
from pytest_deploy.domain.slo import Slo

__all__ = ["SECTIONS_WITHOUT_ADAPTER", "DeployConfig", "SloSection"]

_OPTIONAL = (
    "checklist",
    "tests",
    "build",
    "sign",
    "record",
    "scan",
    "smoke",
    "approval",
    "incidents",
    "tickets",
    "chat",
    "chart_checks",
)
SECTIONS_WITHOUT_ADAPTER = ("tickets", "chat")
"""Sections that can be written, and that a real deploy refuses until their adapter exists."""


class SloSection(Section):
    """``slo``: what the service promises; the short form of the canary's gates reads it."""

    error_rate_max: Ratio = Field(examples=[0.005])
    """Share of requests that may fail, above 0 and below 1: 0.005 or "0.5%". No default: only you know it."""
    p95_latency_ms: PositiveNumber = Field(examples=[300])
    """Milliseconds within which 95 % of the requests are answered. No default: only you know it."""
    window_minutes: Minutes = Field(default=5, examples=[5])
    """Minutes for which each step is watched. 5: some twenty samples at the usual scrape interval."""


class DeployConfig(Section):
    """deploy.yaml, checked."""

    service: DnsLabel = Field(examples=["checkout-api"])
    """The service's name, and the default for release, rollout and container. No default."""
    image: Image = Field(examples=["ghcr.io/acme/checkout-api"])
    """Repository, alone or with a tag or a digest; "latest" is refused. No default."""
    strategy: Strategy = Field(examples=["canary"])
    """canary, blue-green or rolling. No default: it decides what a feature may do."""
    canary_steps: Steps = Field(default=(), validate_default=True, examples=[[5, 25, 50, 100]])
    """Percents of the traffic, rising to 100. Needed by the canary strategy, unused by the others."""
    chart_path: ChartFolder = Field(examples=["./charts/checkout-api"])
    """Folder of the Helm chart. No default."""
    owner: Text = Field(examples=["checkout-team"])
    """Who is told of a rollback. No default: somebody must be."""
    slo_section: SloSection = Field(alias="slo")
    """What the service promises. No default."""
    environments: Mapping[DnsLabel, EnvironmentSection] = Field(min_length=1)
    """The places where the release runs, by name. No default."""
    values: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Helm values set on top of each environment's values file. None by default."""
    metrics: MetricsSection
    """Where the gates read. No default: metrics can't be off."""
    gate: GateSection = GateSection()
    """How the gates decide; absent: all defaults."""
    load: Annotated[LoadSection | None, NotNull] = None
    """Requests made while a gate watches. None: the service's own traffic alone is judged."""
    lock: LockSection = LockSection()
    """How one deploy at a time is kept; absent: all defaults."""
    timeouts: TimeoutsSection = TimeoutsSection()
    """How long each part may take; absent: all defaults."""
    tools: ToolsSection = ToolsSection()
    """The programs that are run; absent: from PATH."""
    checklist: Annotated[ExistingFile | None, NotNull] = Field(default=None, examples=["deployment-checklist.md"])
    """Path of the deployment checklist. None: it is off, and the note says so."""
    gitops: Annotated[GitOpsSection | None, NotNull] = None
    """GitOps: a commit in the place of an install. None: this deploy installs by itself."""
    tests: Annotated[TestsSection | None, NotNull] = None
    """What must pass before anything is deployed. None: it is off, and the note says so."""
    build: Annotated[BuildSection | None, NotNull] = None
    """Building and pushing the image. None: it is given by digest, and the note says so."""
    sign: Annotated[SignSection | None, NotNull] = None
    """Signing and verifying the image. None: it is off, and the note says so."""
    record: Annotated[RecordSection | None, NotNull] = None
    """Signed records of what was done with the image. None: they are off, and the note says so."""
    scan: Annotated[ScanSection | None, NotNull] = None
    """Scan for vulnerabilities. None: it is off, and the note says so."""
    smoke: Annotated[SmokeSection | None, NotNull] = None
    """Smoke test after an install. None: it is off, and the note says so."""
    approval: Annotated[ApprovalSection | None, NotNull] = None
    """Approval by a person. None: it is off, and the note says so."""
    incidents: Annotated[IncidentsSection | None, NotNull] = None
    """Who is asked for open incidents. None: it is off, and the note says so."""
    windows: WindowsSection = WindowsSection()
    """Freezes and business hours; absent: there are none."""
    tickets: Unbuilt = None
    """Deploy tickets; no adapter yet. None: off."""
    chat: Unbuilt = None
    """Deploy notes in chat; no adapter yet. None: off."""
    chart_checks: Annotated[ChartChecksSection | None, NotNull] = None
    """Lint and schema validation of the chart. None: it is off, and the note says so."""

    _places: Places = PrivateAttr()
    _folder: Path = PrivateAttr()

    @property
    def folder(self) -> Path:
        """The folder of deploy.yaml, from which paths are taken."""
        return self._folder

    @property
    def named_secrets(self) -> tuple[str, ...]:
        """Every ``${env:NAME}`` and ``${file:path}`` in it, each once."""
        return tuple(dict.fromkeys(named_secrets(self.model_dump(mode="json"))))

    @property
    def slo(self) -> Slo:
        """The objectives, as gates judge them."""
        return Slo(
            error_rate_max_ratio=self.slo_section.error_rate_max,
            p95_latency_ms=self.slo_section.p95_latency_ms,
            window=timedelta(minutes=self.slo_section.window_minutes),
        )

    def release(self) -> Release:
        """Return the release that features deploy."""
        return Release(
            service=self.service,
            image=ImageRef.parse(self.image),
            strategy=self.strategy,
            canary_steps=self.canary_steps,
            chart_path=self.chart_path,
            owner=self.owner,
            values=tuple(_flat(self.values)),
            environments=MappingProxyType(
                {name: section.environment(name, self.service) for name, section in self.environments.items()}
            ),
        )

    @property
    def sections(self) -> tuple[str, ...]:
        """Names of the configured sections that may be absent; each of the others is a capability that is off."""
        return tuple(name for name in _OPTIONAL if getattr(self, name) is not None)

    @property
    def sections_without_adapter(self) -> tuple[tuple[str, str], ...]:
        """Name and place of each configured section that nothing implements yet."""
        return tuple((name, self.place(name)) for name in SECTIONS_WITHOUT_ADAPTER if getattr(self, name) is not None)

    def place(self, key: str) -> str:
        """Return ``deploy.yaml:9:3`` for a dotted key; for an absent one, where the nearest key above stands."""
        return self._places.of(tuple(key.split(".")))


def _flat(values: Mapping[str, JsonValue], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield ``a.b`` and JSON text of each leaf; what Helm would take for a separator is escaped."""
    for name, value in values.items():
        key = above + re.sub(r"([\\.,=\[\]{}])", r"\\\1", name)
        if isinstance(value, dict) and value:
            yield from _flat(value, key + ".")
        else:
            yield key, json.dumps(value)
