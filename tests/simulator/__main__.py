"""``python -m tests.simulator --schedules 10000 --seed 1``: many schedules; ``--replay SEED``: one, with its trace."""

from __future__ import annotations

import sys
import time
from collections import Counter

import click

from tests.simulator.play import Result, run
from tests.simulator.schedule import draw

_SHOWN = 5
"""Violations that are printed with their schedules; the others only with their seeds."""


@click.command(epilog="Example: python -m tests.simulator --schedules 10000 --seed 1")
@click.option("--schedules", default=10_000, show_default=True, metavar="N", help="How many.")
@click.option("--seed", default=1, show_default=True, metavar="N", help="Of the first one; the others follow it.")
@click.option("--replay", "replayed", type=int, metavar="SEED", help="Run this one alone, and print its trace.")
def main(schedules: int, seed: int, replayed: int | None) -> None:
    """Run seeded schedules of deploys, recovers and people; exit status 1 where one violated what must hold."""
    sys.exit(replay(replayed) if replayed is not None else many(schedules, seed))


def replay(seed: int) -> int:
    """Run one schedule and print every write, every fault and every end of it, in order."""
    result = run(draw(seed), traced=True)
    click.echo(result.schedule)
    click.echo("\n".join(result.trace))
    click.echo("\n".join(f"VIOLATED: {problem}" for problem in result.problems) or "nothing was violated")
    return int(bool(result.problems))


def many(schedules: int, first: int) -> int:
    """Run so many and print what came of them."""
    began = time.perf_counter()
    bad: list[Result] = []
    ends, faults, writes, actors = Counter[str](), Counter[str](), 0, 0
    for seed in range(first, first + schedules):
        result = run(draw(seed))
        ends.update(f"{name.split('-')[0]:8} {_short(end)}" for name, end in result.ends.items())
        faults.update(map(str, result.met))
        writes += result.writes
        actors += len(result.ends)
        if result.problems:
            bad.append(result)
            if len(bad) <= _SHOWN:
                _show(result)
        done = seed - first + 1
        if done % 1000 == 0 and done < schedules:
            took = time.perf_counter() - began
            click.echo(f"{done:6} schedules, {len(bad)} violated, {took:.0f} s")
    took = time.perf_counter() - began
    _table("faults that came to pass", faults)
    _table("how processes ended", ends)
    for result in bad[_SHOWN:]:
        click.echo(f"seed {result.schedule.seed}: {result.problems[0]}")
    click.echo(
        f"\n{schedules} schedules (seeds {first} to {first + schedules - 1}) in {took:.0f} s: {actors} processes, "
        f"{writes} writes of the workload, {sum(faults.values())} faults; violated: {len(bad)}"
    )
    return int(bool(bad))


def _show(result: Result) -> None:
    click.echo(f"\nVIOLATED by {result.schedule}")
    for problem in result.problems:
        click.echo(f"  !! {problem}")
    click.echo(f"  see it: python -m tests.simulator --replay {result.schedule.seed}\n")


def _table(title: str, counts: Counter[str]) -> None:
    click.echo(f"\n{title}")
    for name, count in counts.most_common():
        click.echo(f"{count:8}  {name}")


def _short(end: str) -> str:
    """Errors by their class alone, outcomes whole."""
    name, colon, _ = end.partition(":")
    return name if colon and " " not in name else end


if __name__ == "__main__":
    main()
