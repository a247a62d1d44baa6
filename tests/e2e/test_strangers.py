"""A rollout that somebody else moves while it is judged: the deploy stops, and one version is left."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from tests.e2e.caller import Deploys
from tests.e2e.conftest import Places
from tests.e2e.oracle import SERVICE, Place, digest_of

pytestmark = [pytest.mark.real, pytest.mark.long]


def promotes(place: Place) -> None:
    """Do as the plugin's ``promote`` does."""
    patch = '{"status": {"pauseConditions": null}}'
    place.kubectl("patch", "rollout", SERVICE, "--subresource=status", "--type=merge", "-p", patch)


def aborts(place: Place) -> None:
    """Do as the plugin's ``abort`` does."""
    place.kubectl(
        "patch", "rollout", SERVICE, "--subresource=status", "--type=merge", "-p", '{"status":{"abort":true}}'
    )


def pauses(place: Place) -> None:
    """Do as the plugin's ``pause`` does."""
    place.kubectl("patch", "rollout", SERVICE, "--type=merge", "-p", '{"spec":{"paused":true}}')


def upgrades(place: Place) -> None:
    """Deploy a third version by hand."""
    subprocess.run(place.upgrade_argv(digest_of(f"third {place.namespace}")), check=True, timeout=60)


def rolls_back(place: Place) -> None:
    """Roll the release back by hand."""
    place.helm("rollback", SERVICE, "1")


@dataclass(frozen=True, kw_only=True)
class Stranger:
    """What somebody does in the middle of the 25 % window, and how the deploy has to end.

    Args:
        says: why it stopped.
        status: 1 where the old version must be back; 7 where only a person can decide.
    """

    does: Callable[[Place], None]
    says: str
    status: int


STRANGERS = (
    Stranger(does=promotes, says="somebody promoted it, and that is not taken back", status=7),
    Stranger(does=aborts, says="the rollout's controller gave up", status=1),
    Stranger(does=rolls_back, says="somebody else deployed meanwhile", status=1),
    Stranger(does=pauses, says="somebody paused the rollout by hand (spec.paused)", status=7),
    Stranger(does=upgrades, says="somebody else deployed meanwhile", status=7),
)


def test_somebody_moves_the_rollout(places: Places, deploys: Deploys) -> None:
    """Promoted, aborted, rolled back, paused or upgraded by hand: said at once, and undone or handed to a person."""
    quickly = "--deploy-set=timeouts.rollback_minutes=0.25"
    started = [(it, place := places(), deploys.start(place, quickly, windows={"w25": 90})) for it in STRANGERS]
    for stranger, place, run in started:
        run.until(partial(run.says, "passed When 25% of the traffic"), "the window has begun")
        stranger.does(place)
    for stranger, place, run in started:
        assert run.end(within_s=60) == stranger.status, run.out
        assert stranger.says in run.out
        assert run.junit["50%"] == "skipped"
        if stranger.status == 1:
            assert "ROLLED BACK, verified" in run.last
            place.serves_only(place.old)
            assert place.history()[-1][1:] == ("deployed", "Rollback to 1")
        else:
            assert "NEEDS A HUMAN" in run.last
            assert "left behind:" in run.out
            assert "run next: " in run.out
        if stranger.does is upgrades:
            assert place.history()[-1][1:] == ("deployed", "Upgrade complete")


def test_a_human_is_called_once(places: Places, deploys: Deploys) -> None:
    """A rollback that failed is one error, not one more for each scenario that was not run."""
    place = places()
    run = deploys.start(place, windows={"w5": 60})
    run.until(partial(place.at_weight, 5), "the canary is there")
    upgrades(place)
    assert run.end(within_s=60) == 7, run.out
    assert run.out.count("ERROR at teardown") == 1, run.out
