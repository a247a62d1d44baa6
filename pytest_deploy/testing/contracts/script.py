"""What runs a team's gate programs must do."""

# ruff: noqa: S101 - a contract is made of assertions

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_deploy.errors import Refused, ToolMissing
from pytest_deploy.ports import Scripts

__all__ = ["ScriptsContract", "ScriptsWorld"]

PATH = "./scripts/check-slo.sh"


@dataclass(frozen=True, kw_only=True)
class ScriptsWorld:
    """What runs programs, and a service that can be made bad.

    Args:
        folder: where ``./scripts/check-slo.sh`` is, which tells how the service is.
        make_bad: True: the service breaks its SLO from now on; False: it keeps it.
    """

    scripts: Scripts
    folder: Path
    make_bad: Callable[[bool], None]


class ScriptsContract:
    """``<path> <service> <step-percent>``."""

    @pytest.fixture
    def world(self) -> ScriptsWorld:
        """Give a service that keeps its SLO; a subclass overrides it."""
        raise NotImplementedError

    def test_the_status_is_the_answer(self, world: ScriptsWorld) -> None:
        """0 within the SLO, 1 while it is broken, 0 again after."""
        statuses = []
        for is_bad in (False, True, False):
            world.make_bad(is_bad)
            statuses.append(world.scripts.check(PATH, "shop", 25).status)
        assert statuses == [0, 1, 0]

    def test_what_was_run_and_said_is_told(self, world: ScriptsWorld) -> None:
        """The result has the command as a person would run it, and words."""
        result = world.scripts.check(PATH, "shop", 25)
        assert result.command == "./scripts/check-slo.sh shop 25"
        assert result.words

    def test_a_missing_program_is_no_answer(self, world: ScriptsWorld) -> None:
        """A program that is not there is neither yes nor no."""
        with pytest.raises(ToolMissing, match=r"check\.sh is no file"):
            world.scripts.check("./scripts/check.sh", "shop", 25)

    def test_a_program_without_the_bit_is_no_answer(self, world: ScriptsWorld) -> None:
        """A file that can't be executed is told with the command that mends it."""
        (world.folder / PATH).chmod(0o644)
        with pytest.raises(ToolMissing, match=r"next: chmod \+x \./scripts/check-slo\.sh"):
            world.scripts.check(PATH, "shop", 25)

    @pytest.mark.parametrize("path", ["../outside.sh", "/bin/true", "./scripts/link.sh"])
    def test_a_path_that_leads_out_is_refused(self, world: ScriptsWorld, path: str) -> None:
        """Only what lies below deploy.yaml's folder runs, whatever links say."""
        outside = world.folder.parent / "outside.sh"
        outside.write_text("#!/bin/sh\n", encoding="utf-8")
        outside.chmod(0o755)
        (world.folder / "scripts" / "link.sh").symlink_to(outside)
        with pytest.raises(Refused, match="leads out of"):
            world.scripts.check(path, "shop", 25)
