"""A rollout that somebody else moves while it is judged: the deploy stops, and one version is left."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
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
    place.kubectl("patch", "rollout", SERVICE, "--subresource=status", "--type=merge", "-p", '{"status":{"abort":true}}')


def pauses(place: Place) -> None:
    """Do as the plugin's ``pause`` does."""
    place.kubectl("patch", "rollout", SERVICE, "--type=merge", "-p", '{"spec":{"paused":true}}')


def upgrades(place: Place) -> None:
    """Deploy a third version by hand."""
    subprocess.run(place.upgrade_argv(digest_of(f"third {place.namespace}")), check=True, timeout=60)


def rolls_back(place: Place) -> None:
    """Roll the release back by hand."""
    place.helm("rollback", SERVICE, "1")


STRANGERS: dict[str, tuple[Callable[[Place], None], str]] = {
    "promotes": (promotes, "the rollout left our pause of 25 % while it was judged"),
    "aborts": (aborts, "the rollout's controller gave up"),
    "pauses": (pauses, "somebody paused the rollout by hand (spec.paused)"),
    "upgrades": (upgrades, "somebody else deployed meanwhile"),
    "rolls-back": (rolls_back, ""),
}


def test_somebody_moves_the_rollout(places: Places, deploys: Deploys) -> None:
    """Promoted, aborted, paused, upgraded or rolled back by hand in the 25 % window: said, undone, exit 1."""
    started = [
        (name, place := places(), deploys.start(place, windows={"w25": 60}), *what)
        for name, what in STRANGERS.items()
    ]
    for name, place, run, act, words in started:
        run.until(partial(place.at_weight, 25), "25 % are there")
        act(place)
    for name, place, run, act, words in started:
        status = run.end()
        print("=====", name, status, place.history(), place.pods(), place.rollout()["status"].get("phase"))
        print("\n".join(line[:600] for line in run.out.splitlines()[-70:]))
