"""Which deaths there are: each point of each mutation, in each way; the seed decides what else happens in a cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random

__all__ = ["HOWS", "MUTATIONS", "POINTS", "Cell", "Mutation", "cells", "expected", "sample"]

POINTS = ("before-intent", "after-intent", "after-act", "after-done")
HOWS = ("SIGKILL", "SIGTERM", "SIGSTOP", "partition")


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One thing that a deploy changes.

    Args:
        number: which one it is, from 1, in its process.
        fails: the deploy is one of a version that fails its first gate.
        says: what stands in the journal of it: environment and kind.
        helm: a release owns the Rollout; else its image is patched, and staging, which is Helm's, is left out.
    """

    name: str
    number: int
    says: tuple[str, str]
    fails: bool = False
    helm: bool = True


MUTATIONS = (
    Mutation(name="staging upgrade", number=1, says=("staging", "upgrade")),
    Mutation(name="staging promote-full", number=2, says=("staging", "promote-full")),
    Mutation(name="prod upgrade", number=3, says=("prod", "upgrade")),
    Mutation(name="promote to 25 %", number=4, says=("prod", "promote")),
    Mutation(name="promote to 50 %", number=5, says=("prod", "promote")),
    Mutation(name="promote to 100 %", number=6, says=("prod", "promote")),
    Mutation(name="commitment", number=7, says=("prod", "promote")),
    Mutation(name="abort", number=4, says=("prod", "abort"), fails=True),
    Mutation(name="prod rollback", number=5, says=("prod", "rollback"), fails=True),
    Mutation(name="staging rollback", number=6, says=("staging", "rollback"), fails=True),
    Mutation(name="staging skips steps", number=7, says=("staging", "promote-full"), fails=True),
    Mutation(name="set image", number=1, says=("prod", "set-image"), helm=False),
    Mutation(name="abort without Helm", number=2, says=("prod", "abort"), fails=True, helm=False),
    Mutation(name="set image back", number=3, says=("prod", "set-image"), fails=True, helm=False),
)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One death, and what is done afterwards.

    Args:
        seed: of the whole run; with the name it decides all that the cell leaves open.
    """

    mutation: Mutation
    point: str
    how: str
    seed: int

    @property
    def name(self) -> str:
        """Names it in the table, and for ``--only``."""
        return f"{self.mutation.name}/{self.point}/{self.how}"

    @property
    def failpoint(self) -> str:
        """Of the deploy."""
        return f"{self.point}:{self.mutation.number}:{self.how}"

    @property
    def recover_failpoint(self) -> str:
        """Of the first ``recover``; one that has less to do than that ends well."""
        return f"{self._random('recover').choice(POINTS)}:{self._random('number').choice((1, 1, 2, 3))}:SIGKILL"

    @property
    def recover_dies_after_s(self) -> float | None:
        """When the first ``recover`` is killed, wherever it is by then; None: at its failpoint."""
        random = self._random("when")
        return random.uniform(0.3, 3) if random.random() < 0.4 else None

    @property
    def wakes_first(self) -> bool:
        """Whether a process that was stopped past its lease goes on before ``recover`` comes, or after it."""
        return self._random("wakes").random() < 0.4

    def _random(self, what: str) -> Random:
        return Random(f"{self.seed}/{self.name}/{what}")  # noqa: S311 - to be replayed, not to be secret


def cells(seed: int) -> tuple[Cell, ...]:
    """Return all of them, in the order of the table."""
    found = product(MUTATIONS, POINTS, HOWS)
    return tuple(Cell(mutation=mutation, point=point, how=how, seed=seed) for mutation, point, how in found)


def expected(cell: Cell) -> list[tuple[str, str]]:
    """Return which mutations the journal must hold first, where the cell was met as its name says.

    Its own too where its intent stands for sure: one whose writing a signal broke off is written over.
    """
    stands = cell.point in {"after-act", "after-done"} or (cell.point == "after-intent" and cell.how != "SIGTERM")
    last = cell.mutation.number if stands else cell.mutation.number - 1
    others = [it for it in MUTATIONS if it.helm == cell.mutation.helm]
    fails = min(it.number for it in others if it.fails)
    path = [it for it in others if (it.number < fails or it.fails == cell.mutation.fails)]
    return [it.says for it in sorted(path, key=lambda it: it.number) if it.number <= last]


def sample(of: Sequence[Cell], count: int, seed: int) -> tuple[Cell, ...]:
    """Return so many of them by the seed, each way of dying as often as the others."""
    random = Random(seed)  # noqa: S311 - to be replayed, not to be secret
    piles = [random.sample(pile, len(pile)) for how in HOWS if (pile := [cell for cell in of if cell.how == how])]
    return tuple(_in_turn(piles))[:count]


def _in_turn(piles: Iterable[list[Cell]]) -> Iterator[Cell]:
    left = [pile for pile in piles if pile]
    while left:
        yield from [pile.pop() for pile in left]
        left = [pile for pile in left if pile]
