"""The real parts of the supply chain and of an approval, started when a row first needs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from tests.contract.incident_servers import AlertmanagerServer, OpsgenieServer, PagerDutyServer, Server, serve
from tests.e2e.approval import github_server
from tests.e2e.supply_chain import rig as supply_chain
from tests.e2e.supply_chain.conftest import Bench, Keys
from tests.e2e.supply_chain_checks import rig as checks


class Parts:
    """What is started here lives as long as the session.

    Args:
        folder: for their files.
    """

    def __init__(self, folder: Path, until: ExitStack) -> None:
        self._folder = folder
        self._until = until

    def _new(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir()
        return folder

    @cached_property
    def checks(self) -> checks.Rig:
        """A registry, trivy with a made-up database, kubeconform."""
        return self._until.enter_context(checks.rig(self._new("checks")))

    @cached_property
    def supply(self) -> supply_chain.Rig:
        """A registry, BuildKit, cosign."""
        return self._until.enter_context(supply_chain.standing(self._new("supply")))

    @cached_property
    def ours(self) -> Keys:
        """The keys that are trusted."""
        private, public = self.supply.keys("ours")
        return Keys(private=private, public=public)

    @cached_property
    def theirs(self) -> Keys:
        """The keys of somebody else."""
        private, public = self.supply.keys("theirs")
        return Keys(private=private, public=public)

    @cached_property
    def bench(self) -> Bench:
        """Builds, signs and records, in the repository of the service."""
        return Bench(rig=self.supply, repository=f"{self.supply.registry}/checkout-api", ours=self.ours)

    @cached_property
    def github(self) -> github_server.Github:
        """A GitHub on this machine."""
        return self._until.enter_context(github_server.serving(self._new("github")))

    @contextmanager
    def pagerduty(self) -> Iterator[PagerDutyServer]:
        """A PagerDuty on this machine, for one row."""
        yield from _serving(PagerDutyServer())

    @contextmanager
    def opsgenie(self) -> Iterator[OpsgenieServer]:
        """An Opsgenie on this machine, for one row."""
        yield from _serving(OpsgenieServer())

    @contextmanager
    def alertmanager(self) -> Iterator[AlertmanagerServer]:
        """An Alertmanager on this machine, for one row."""
        yield from _serving(AlertmanagerServer())


S = TypeVar("S", bound=Server)


def _serving(server: S) -> Iterator[S]:
    with serve(server):
        yield server
