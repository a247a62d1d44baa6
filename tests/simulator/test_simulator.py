"""The simulator, in small: a sample of its schedules, that it repeats itself, and that it finds bugs."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tests.simulator.__main__ import main
from tests.simulator.planted import PLANTED, Bug
from tests.simulator.play import Result, run
from tests.simulator.process import Blow, How
from tests.simulator.schedule import draw

SAMPLE, HUNT = 300, 700
"""Schedules of the sample, and at most so many until a planted bug is found; the rarest shows in one of about 100."""


@pytest.fixture(scope="module")
def sample() -> list[Result]:
    """Run the sample."""
    return [run(draw(seed)) for seed in range(1, SAMPLE + 1)]


def test_nothing_is_violated(sample: list[Result]) -> None:
    """Whatever dies, sleeps, is cut off or raced: the service ends on one version, and the journals say which."""
    violated = {result.schedule.seed: result.problems for result in sample if result.problems}
    assert not violated, "see each: python -m tests.simulator --replay SEED"


def test_the_sample_is_worth_something(sample: list[Result]) -> None:
    """Every kind of fault came to pass in it, deploys were committed, rolled back, refused and died, recovers, too."""
    met = {how for result in sample for how in result.met}
    ends = {end for result in sample for end in result.ends.values()}
    assert met == set(How)
    assert {"COMMITTED", "ROLLED BACK, verified", "REFUSED, nothing changed", "dead"} <= ends
    recovered = [e for result in sample for name, e in result.ends.items() if name.startswith("recover")]
    assert recovered.count("ROLLED BACK, verified") > SAMPLE / 20
    assert "dead" in recovered


@pytest.mark.parametrize("seed", [3, 7, 13])
def test_a_seed_is_a_whole_run(seed: int) -> None:
    """The same seed gives the same calls in the same order at the same times, so that a violation can be replayed."""
    first, second = (run(draw(seed), traced=True) for _ in range(2))
    assert first.trace == second.trace
    assert len(first.trace) > 10


@pytest.mark.parametrize("seed", [75, 126, 33693])
def test_what_was_violated_once_is_not_any_more(seed: int) -> None:
    """An abort of what a person has promoted; a rollback that Helm had recorded, and had not applied when it died."""
    assert run(draw(seed)).problems == []


@pytest.mark.parametrize("bug", PLANTED.values(), ids=PLANTED)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    """A bug of the engine breaks its rule within a few hundred schedules, as plainly drawn as all others."""
    with bug.plant():
        found = (run(draw(seed)).problems for seed in range(1, HUNT + 1))
        assert any(problem.startswith(bug.breaks) for problems in found for problem in problems)


def test_the_command() -> None:
    """Many schedules end in a table and a sum, one in its trace; both with status 0 where nothing is violated."""
    many = CliRunner().invoke(main, ["--schedules", "20", "--seed", "1"])
    assert many.exit_code == 0
    assert "faults that came to pass" in many.output
    assert "20 schedules (seeds 1 to 20)" in many.output
    assert "violated: 0" in many.output
    one = CliRunner().invoke(main, ["--replay", "3"])
    assert one.exit_code == 0
    assert one.output.startswith("seed 3: ")
    assert "nothing was violated" in one.output


def test_a_violation_is_printed_with_its_schedule() -> None:
    """What was violated, by which schedule in words, and how to see it again."""
    with PLANTED["intent after the act"].plant():
        ended = CliRunner().invoke(main, ["--schedules", "1", "--seed", "2"])
    assert ended.exit_code == 1
    assert f"VIOLATED by {draw(2)}" in ended.output
    assert "!! a write without a durable intent" in ended.output
    assert "python -m tests.simulator --replay 2" in ended.output


def test_a_schedule_can_be_read() -> None:
    """Who begins when, and what befalls whom at which call."""
    assert str(Blow(how=How.CUT_OFF, nth=7, write=True, seconds=12.5)) == (
        "write 7: the API server is out of reach from here on, for a while (12.5 s)"
    )
    assert str(draw(1)).splitlines()[1].startswith("  deploy-a deploys v4 after 0.0 s")
