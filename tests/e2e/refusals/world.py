"""A world in which a deploy would pass, made wrong in one way by each row of the table."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.caller import FEATURE, Running, deployer
from tests.e2e.oracle import CHART, SERVICE, Place, digest_of
from tests.e2e.refusals.parts import Parts


@dataclass(kw_only=True)
class World:
    """What one deploy finds: its files, its cluster, its environment; a row changes what it likes.

    Args:
        folder: of deploy.yaml and prod.feature.
        profile: deploy.yaml.
        steps: lines that stand before the canary.
        env: what the job has beside PATH.
        words: what the table's texts name in braces.
    """

    place: Place
    parts: Parts
    folder: Path
    profile: dict[str, Any]
    steps: list[str] = field(default_factory=list)
    arguments: tuple[str, ...] = ("prod.feature",)
    feature: str = FEATURE
    env: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)

    @property
    def prod(self) -> dict[str, Any]:
        """The environment that the deploy is bound for."""
        found: dict[str, Any] = self.profile["environments"]["prod"]
        return found

    @property
    def account(self) -> str:
        """The deploy's account, as the API server calls it."""
        return f"system:serviceaccount:{self.place.namespace}:deployer"

    def use(self, image: str) -> None:
        """Deploy this image, given by digest."""
        self.profile["image"] = image
        self.words["image"], self.words["digest"] = image, image.partition("@")[2]

    def file(self, name: str, text: str) -> Path:
        """Write a file beside deploy.yaml."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def program(self, name: str, text: str) -> str:
        """Write a program that stands in the place of a real one."""
        path = self.file(f"programs/{name}", f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    def kubeconfig(self, edit: Callable[[dict[str, Any]], None]) -> None:
        """Give the job another kubeconfig."""
        facts = json.loads(Path(self.env["KUBECONFIG"]).read_text("utf-8"))
        edit(facts)
        self.env["KUBECONFIG"] = str(self.file("kubeconfig", json.dumps(facts)))

    def chart(self, file: str, edit: Callable[[str], str]) -> None:
        """Deploy a copy of the demo chart with one file changed."""
        copy = self.copied_chart()
        path = copy / file
        before = path.read_text("utf-8")
        path.write_text(edit(before), "utf-8")
        assert path.read_text("utf-8") != before

    def copied_chart(self) -> Path:
        """Deploy a copy of the demo chart, and return its folder."""
        copy = self.folder / "chart"
        for source in CHART.rglob("*"):
            if source.is_file():
                self.file(f"chart/{source.relative_to(CHART)}", source.read_text("utf-8"))
        self.profile["chart_path"] = str(copy)
        return copy

    @contextmanager
    def applied(self, *objects: Mapping[str, Any]) -> Iterator[None]:
        """Have these objects in the cluster for as long as the block."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.place.kubectl("apply", "-f", "-", stdin=text)
        try:
            yield
        finally:
            self.place.kubectl("delete", "--wait=false", "-f", "-", stdin=text)

    def deploy(self, *options: str) -> Running:
        """Start the deploy as a CI job does, for real."""
        self.file("deploy.yaml", yaml.safe_dump(self.profile, sort_keys=False))
        spans = dict.fromkeys(("w5", "w25", "w50", "w100", "after"), 4)
        head, outline, rest = self.feature.format(**spans).partition("  Scenario Outline:")
        more = "".join(f"    {line}\n" for line in self.steps)
        self.file("prod.feature", f"{head}  Scenario: More\n{more}\n{outline}{rest}" if more else head + outline + rest)
        argv = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *self.arguments, *options)
        return Running(argv, self.folder / "run", self.folder, self.env)


Breaking = Callable[[World], Iterator[None] | None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way in which the world is wrong, and what must be said about it.

    Args:
        what, where, mend: parts of the message; names in braces are ``World.words``.
        ground: the cluster's state that it begins from, see ``Grounds``.
        status: 4: refused; 1: somebody or something said no.
        contacted: whether the deploy comes as far as asking production's API server.
        records: whether something outside production was written before, so that lock and journal stand there.
    """

    breaking: Breaking
    what: str
    where: str
    mend: str
    ground: str
    status: int
    contacted: bool
    records: bool

    def broken(self, world: World) -> AbstractContextManager[None]:
        """Make the world wrong, for as long as the block."""
        return contextmanager(self._broken)(world)

    def _broken(self, world: World) -> Iterator[None]:
        if not inspect.isgeneratorfunction(self.breaking):
            self.breaking(world)
            yield
        else:
            yield from self.breaking(world)


ROWS: dict[str, Row] = {}
"""The table."""


def row(
    *,
    what: str,
    where: str,
    mend: str,
    ground: str = "home",
    status: int = 4,
    contacted: bool = True,
    records: bool = False,
) -> Callable[[Breaking], Breaking]:
    """Put a function into the table that makes the world wrong and, where it yields, mends it afterwards."""

    def add(breaking: Breaking) -> Breaking:
        name = breaking.__name__.replace("_", "-")
        assert name not in ROWS, name
        assert all((what, where, mend)), f"{name}: nothing would be checked"
        ROWS[name] = Row(
            breaking=breaking,
            what=what,
            where=where,
            mend=mend,
            ground=ground,
            status=status,
            contacted=contacted,
            records=records,
        )
        return breaking

    return add


def with_staging(place: Place, made: dict[str, Any]) -> dict[str, Any]:
    """Return the deploy.yaml with a staging beside production."""
    where = {"context": "sandbox-staging", "namespace": f"{place.namespace}-staging"}
    made["environments"]["staging"] = {**where, "values_file": "values-staging.yaml"}
    return made


def profile(place: Place, image: str) -> dict[str, Any]:
    """Return the deploy.yaml of a deploy that passes."""
    return {
        "service": SERVICE,
        "image": image,
        "strategy": "canary",
        "canary_steps": [5, 25, 50, 100],
        "chart_path": str(CHART),
        "owner": "checkout-team",
        "slo": {"error_rate_max": 0.005, "p95_latency_ms": 300, "window_minutes": 1},
        "environments": {
            "prod": {"context": "sandbox-prod", "namespace": place.namespace, "values_file": "values-prod.yaml"},
        },
        "metrics": {
            "prometheus": {
                "url": place.sandbox.facts["prometheus_url"],
                "version_label": "pod_template_hash",
                "scrape_interval_s": 1,
                "timeout_s": 2,
            }
        },
        "values": {"annotations": {"sandbox.pytest-deploy.dev/rps": "2000"}},
        "tools": {"helm": place.sandbox.binaries["helm3"]},
        "timeouts": {"helm_minutes": 1, "step_minutes": 1, "rollback_minutes": 1},
    }


def world(place: Place, parts: Parts, folder: Path) -> World:
    """Return one in which nothing is wrong."""
    repository = "registry.sandbox.invalid/checkout-api"
    made = World(
        place=place,
        parts=parts,
        folder=folder,
        profile=profile(place, repository),
        env={
            "CI": "true",
            "KUBECONFIG": str(deployer(place, profile=yaml.safe_dump(with_staging(place, profile(place, repository))))),
            "PYTEST_DEPLOY_CACHE": str(place.sandbox.cache),
            "HOME": str(folder),
        },
        words={"ns": place.namespace, "old": place.old, "server": place.sandbox.facts["server"], "folder": str(folder)},
    )
    made.use(f"{repository}@{digest_of(f'new {place.namespace}')}")
    return made
