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

from pytest_deploy.config.fields import (
    DnsLabel,
    HttpUrl,
    Image,
    Minutes,
    NotNull,
    PositiveNumber,
    Ratio,
    Steps,
    Text,
    Unbuilt,
)
from pytest_deploy.config.load_section import LoadSection
from pytest_deploy.config.lock_section import LockSection
from pytest_deploy.config.metrics import GateSection, MetricsSection
from pytest_deploy.config.paths import ChartFolder, ExistingFile, PlainPath, Program, ValuesFile
from pytest_deploy.config.places import Places
from pytest_deploy.config.secrets import named_secrets
from pytest_deploy.config.section import Section
from pytest_deploy.domain.release import Environment, ImageRef, Release, Strategy
from pytest_deploy.domain.slo import Slo

__all__ = [
    "SECTIONS_WITHOUT_ADAPTER",
    "DeployConfig",
    "EnvironmentSection",
    "SloSection",
    "TestsSection",
    "TimeoutsSection",
    "ToolsSection",
]

SECTIONS_WITHOUT_ADAPTER = (
    "checklist",
    "tests",
    "build",
    "sign",
    "scan",
    "smoke",
    "approval",
    "incidents",
    "tickets",
    "chat",
    "chart_checks",
)
"""Sections that can be written, and that a real deploy refuses until their adapter exists."""


class SloSection(Section):
    """``slo``: what the service promises; the short form of the canary's gates reads it."""

    error_rate_max: Ratio = Field(examples=[0.005])
    """Share of requests that may fail, above 0 and below 1: 0.005 or "0.5%". No default: only you know it."""
    p95_latency_ms: PositiveNumber = Field(examples=[300])
    """Milliseconds within which 95 % of the requests are answered. No default: only you know it."""
    window_minutes: Minutes = Field(default=5, examples=[5])
    """Minutes for which each step is watched. 5: some twenty samples at the usual scrape interval."""


class EnvironmentSection(Section):
    """``environments.NAME``: one place where the release runs."""

    context: Text = Field(examples=["acme-prod"])
    """Name of the kubeconfig's context. No default: the current context is never used."""
    namespace: DnsLabel = Field(examples=["prod"])
    """Kubernetes namespace. No default: "default" would hide a forgotten line."""
    values_file: ValuesFile | None = Field(default=None, examples=["values-prod.yaml"])
    """Helm values of this environment, beside deploy.yaml or in the chart. None: the chart's own."""
    base_url: HttpUrl | None = Field(default=None, examples=["https://staging.example.com"])
    """Where the service answers there. None: nothing is called over HTTP."""
    approvers: tuple[Text, ...] = Field(default=(), examples=[["@acme/sre"]])
    """People or teams of whom one must approve. None of them by default: no approval is asked for."""
    release_name: DnsLabel | None = Field(default=None, alias="release", examples=["checkout-api"])
    """Helm release; absent: called as the service. null: no Helm release owns the Rollout, its image is patched."""
    rollout: DnsLabel | None = Field(default=None, examples=["checkout-api"])
    """The Argo Rollout. None: called as the service."""
    container: DnsLabel | None = Field(default=None, examples=["checkout-api"])
    """The container that runs the image. None: called as the service."""
    server: HttpUrl | None = Field(default=None, examples=["https://api.prod.example.com:6443"])
    """Address of the API server that the context must lead to. None: only the context's name is compared."""
    kubeconfig: PlainPath | None = Field(default=None, examples=["~/.kube/config"])
    """Path of the kubeconfig. None: KUBECONFIG, or else ~/.kube/config."""

    def environment(self, name: str, service: str) -> Environment:
        """Return the domain's value, with the defaults that follow from the service's name."""
        return Environment(
            name=name,
            context=self.context,
            namespace=self.namespace,
            release=self.release_name if "release_name" in self.model_fields_set else service,
            rollout=self.rollout or service,
            container=self.container or service,
            values_file=self.values_file,
            base_url=self.base_url,
            approvers=self.approvers,
            server=self.server,
            kubeconfig=self.kubeconfig,
        )


class TimeoutsSection(Section):
    """``timeouts``: how long each part may take."""

    helm_minutes: Minutes = Field(default=5, examples=[5])
    """Minutes for one Helm operation. 5: Helm's own default."""
    step_minutes: Minutes = Field(default=10, examples=[10])
    """Minutes until a weight is there and its pods are ready. 10: Kubernetes' own progress deadline."""
    rollback_minutes: Minutes = Field(default=5, examples=[5])
    """Minutes for the whole way back. 5: past that, a human is needed anyway."""

    @property
    def helm(self) -> timedelta:
        """One Helm operation."""
        return timedelta(minutes=self.helm_minutes)

    @property
    def step(self) -> timedelta:
        """Until a weight is there."""
        return timedelta(minutes=self.step_minutes)

    @property
    def rollback(self) -> timedelta:
        """The whole way back."""
        return timedelta(minutes=self.rollback_minutes)


class ToolsSection(Section):
    """``tools``: the programs that are run."""

    helm: Program = Field(default="helm", examples=["helm"])
    """Name on PATH, or a path from deploy.yaml's folder. Default: what PATH has."""


class TestsSection(Section):
    """``tests``: what must pass before anything is deployed."""

    commands: tuple[Text, ...] = Field(min_length=1, examples=[["make test"]])
    """Commands that the feature may name, as it writes them. No default: an empty list would test nothing."""


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
    tests: Annotated[TestsSection | None, NotNull] = None
    """What must pass before anything is deployed. None: it is off, and the note says so."""
    build: Unbuilt = None
    """Building the image; no adapter yet. None: off."""
    sign: Unbuilt = None
    """Signing and verifying; no adapter yet. None: off."""
    scan: Unbuilt = None
    """Vulnerability scan; no adapter yet. None: off."""
    smoke: Unbuilt = None
    """Smoke test; no adapter yet. None: off."""
    approval: Unbuilt = None
    """Approval by a person; no adapter yet. None: off."""
    incidents: Unbuilt = None
    """Open incidents; no adapter yet. None: off."""
    tickets: Unbuilt = None
    """Deploy tickets; no adapter yet. None: off."""
    chat: Unbuilt = None
    """Deploy notes in chat; no adapter yet. None: off."""
    chart_checks: Unbuilt = None
    """Lint and schema validation of the chart; no adapter yet. None: off."""

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
        return tuple(name for name in SECTIONS_WITHOUT_ADAPTER if getattr(self, name) is not None)

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
