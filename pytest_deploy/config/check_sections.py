"""``tests``, ``scan`` and ``chart_checks``: what is asked of source, image and chart before anything is deployed."""

from __future__ import annotations

import re
import shlex
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from pytest_deploy.config.fields import Minutes, Text, variables
from pytest_deploy.config.paths import ExistingFile, PlainPath
from pytest_deploy.config.section import Section

__all__ = ["ChartChecksSection", "ScanSection", "TestsSection"]

_SHELL = frozenset({"&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1"})
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9]+(?:/[a-z0-9]+)?")
_LONGEST_HOURS = 30 * 24
_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9.-]*(?::[0-9]+)?(?:/[a-z0-9._-]+)+(?::[A-Za-z0-9._-]+)?")


def _command(value: str) -> str:
    if '"' in value:
        raise ValueError(f"{value!r} holds a quotation mark, and a feature writes commands between them: use '")
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is no command: {error}") from error
    if shell := [word for word in words if word in _SHELL]:
        raise ValueError(f"{value!r}: no shell runs it, so {shell[0]} means nothing: put it into the Makefile")
    if "=" in words[0]:
        raise ValueError(f"{value!r}: no shell runs it, so it can't begin with a variable: put it into the Makefile")
    return value


def _no_kubeconfig(value: tuple[str, ...]) -> tuple[str, ...]:
    if named := [name for name in variables(value) if name.upper().startswith("KUBE")]:
        raise ValueError(f"{named[0]} leads to the cluster: tests of code that is not deployed yet never get it")
    return value


def _glob(value: str) -> str:
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError(f"{value!r} leads out of the folder of deploy.yaml")
    return value


def _platform(value: str) -> str:
    if _PLATFORM.fullmatch(value) is None:
        raise ValueError(f"{value!r} is no platform: linux/amd64, linux/arm64, linux/arm/v7")
    return value


def _hours(value: float) -> float:
    if not 1 <= value <= _LONGEST_HOURS:
        raise ValueError(f"{value:g} hours: at least 1, at most {_LONGEST_HOURS} (30 days)")
    return value


def _repository(value: str) -> str:
    if _REPOSITORY.fullmatch(value) is None:
        raise ValueError(f"{value!r} is no repository of a registry: mirror.example.com/aquasec/trivy-db:2")
    return value


class TestsSection(Section):
    """``tests``: what must pass before anything is deployed."""

    commands: tuple[Annotated[Text, AfterValidator(_command)], ...] = Field(
        min_length=1, examples=[["make test", "make integration-test"]]
    )
    """Commands that the feature may name, as it writes them; no shell runs them. No default: an empty list would test
    nothing."""
    junit: Annotated[Text, AfterValidator(_glob)] | None = Field(default=None, examples=["reports/**/*.xml"])
    """Pattern of the JUnit reports that they write, from deploy.yaml's folder. None: failing tests are looked for in
    what they print (pytest, TAP)."""
    env: Annotated[tuple[Text, ...], AfterValidator(_no_kubeconfig)] = Field(default=(), examples=[["CI", "GOFLAGS"]])
    """Names of the variables that they see beside PATH, HOME, LANG and the like. None by default: tests get no deploy
    token, and never a kubeconfig."""
    timeout_minutes: Minutes = Field(default=30, examples=[30])
    """Minutes for each command. 30: integration tests with databases to start; what takes longer hangs."""

    @property
    def timeout(self) -> timedelta:
        """For each command."""
        return timedelta(minutes=self.timeout_minutes)


class ScanSection(Section):
    """``scan``: trivy, on the digest that is deployed."""

    ignore_file: ExistingFile | None = Field(default=None, examples=[".trivyignore"])
    """trivy's ignore file (``.trivyignore`` or ``.trivyignore.yaml``), beside deploy.yaml; each entry needs an expiry
    date. None: nothing is ignored, not even by a file that lies about."""
    platforms: tuple[Annotated[Text, AfterValidator(_platform)], ...] = Field(
        default=(), examples=[["linux/amd64", "linux/arm64"]]
    )
    """Platforms of a multi-platform image; each is scanned. None: those of the section build, else trivy's own choice,
    linux/amd64."""
    db_max_age_hours: Annotated[float, AfterValidator(_hours)] = Field(default=48, examples=[48])
    """Hours after which the vulnerability database is too old to call anything clean. 48: it is published every 6
    hours, and trivy itself renews one of more than 24."""
    db_repository: Annotated[Text, AfterValidator(_repository)] | None = Field(
        default=None, examples=["mirror.example.com/aquasec/trivy-db:2"]
    )
    """Registry from which the database is taken. None: trivy's own, which slow down those who ask often."""
    cache_folder: PlainPath | None = Field(default=None, examples=[".cache/trivy"])
    """Folder of trivy's cache, for CI to keep. None: trivy's own, below the home folder."""
    offline: bool = Field(default=False, examples=[True])
    """true: nothing is downloaded, the database in the cache is used. false by default: trivy renews it."""
    timeout_minutes: Minutes = Field(default=10, examples=[10])
    """Minutes for one platform. 10: twice trivy's own, which large images outlast."""

    @property
    def db_max_age(self) -> timedelta:
        """How old the database may be."""
        return timedelta(hours=self.db_max_age_hours)

    @property
    def timeout(self) -> timedelta:
        """For one platform."""
        return timedelta(minutes=self.timeout_minutes)


class ChartChecksSection(Section):
    """``chart_checks: {}``: lint, and validation against the API of the cluster that it is bound for."""
