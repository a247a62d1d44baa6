"""A schedule: who takes part, what befalls them and when, all drawn from one number."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.simulator.process import Blow, How

__all__ = ["Pipeline", "Rescue", "Schedule", "draw"]

_WEIGHTS = ((50,), (25, 100), (25, 50, 100))
_HOWS = (*How, How.KILLED_BEFORE, How.KILLED_AFTER, How.STOPPED_BEFORE, How.STOPPED_BEFORE)
"""Deaths and zombies are what this is about, so they come more often."""
_FIRST_ACT = 5
"""The write that begins the canary, after lock, fence, OPENED and the intent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A run that deploys."""

    id: str
    version: str
    after: float
    blows: tuple[Blow, ...]

    def __str__(self) -> str:
        return f"{self.id} deploys {self.version} after {self.after:.1f} s{_listed(self.blows)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """A run of recover."""

    of: str
    after: float
    blows: tuple[Blow, ...]

    def __str__(self) -> str:
        return f"recover of {self.of} after {self.after:.1f} s{_listed(self.blows)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """All that the seed decides before anything begins; who is next at each call it decides on the way."""

    seed: int
    by_helm: bool
    real_journal: bool
    weights: tuple[int, ...]
    late_s: float
    bad: tuple[str, ...]
    pipelines: tuple[Pipeline, ...]
    rescues: tuple[Rescue, ...]
    hands: tuple[float, ...]
    last_blows: tuple[tuple[Blow, ...], ...]
    """What befalls the recovers that come when all is over, one after the other."""

    @property
    def _world(self) -> str:
        return (
            f"seed {self.seed}: {'Helm' if self.by_helm else 'image patches'}, "
            f"{'the real' if self.real_journal else 'a model'} journal, weights {self.weights}, "
            f"controller {self.late_s:g} s late, bad: {', '.join(self.bad) or 'none'}"
        )

    def __str__(self) -> str:
        lines = [
            self._world,
            *map(str, self.pipelines),
            *map(str, self.rescues),
            *(f"somebody acts by hand after {after:.1f} s" for after in self.hands),
            *(f"recover {n} at the end{_listed(blows)}" for n, blows in enumerate(self.last_blows, 1) if blows),
        ]
        return "\n  ".join(lines)


def draw(seed: int) -> Schedule:
    """Return the schedule of a seed."""
    random = Random(seed)  # noqa: S311 - a schedule is drawn, not a secret
    zombie = random.random() < 0.15
    second = random.random() < 0.5
    hands = (random.uniform(0, 60),) if random.random() < 0.2 else ()
    return Schedule(
        seed=seed,
        by_helm=random.random() < 0.7,
        real_journal=random.random() < 0.25,
        weights=random.choice(_WEIGHTS),
        late_s=random.choice((0, 0, 0, 0.5, 3, 10)),
        bad=tuple(version for version in ("v4", "v5") if random.random() < 0.25),
        pipelines=(
            Pipeline(
                id="deploy-a", version="v4", after=0, blows=_sleep(random) if zombie else _blows(random, (1, 5, 4, 3))
            ),
            *(
                (Pipeline(id="deploy-b", version="v5", after=_start(random), blows=_blows(random, (3, 4, 2))),)
                if second
                else ()
            ),
        ),
        rescues=tuple(
            Rescue(of="deploy-a", after=random.uniform(20, 220), blows=_blows(random, (3, 3, 1)))
            for _ in range(2 if zombie else random.choice((0, 0, 1, 1, 2)))
        ),
        hands=hands,
        last_blows=tuple(_blows(random, (2, 2, 1)) for _ in range(2)),
    )


def _blows(random: Random, chances: tuple[int, ...]) -> tuple[Blow, ...]:
    """Draw faults; ``chances`` weighs how many there are."""
    many = random.choices(range(len(chances)), chances)[0]
    return tuple(_blow(random) for _ in range(many))


def _blow(random: Random) -> Blow:
    write = random.random() < 0.75
    nth = random.randint(1, 22) if write else random.randint(1, 120)
    how = random.choice(_HOWS)
    longest = {How.LATE: 90, How.SLOW: 50, How.CUT_OFF: 150}.get(how, 200)
    return Blow(how=how, nth=nth, write=write, seconds=round(random.uniform(1, longest), 1))


def _sleep(random: Random) -> tuple[Blow, ...]:
    """Draw a sleep right before a write that outlasts the lease: the zombie, which two recovers meet."""
    seconds, nth = round(random.uniform(90, 220), 1), random.choice((_FIRST_ACT, random.randint(3, 16)))
    return (Blow(how=How.STOPPED_BEFORE, nth=nth, write=True, seconds=seconds),)


def _start(random: Random) -> float:
    return random.choice((0, random.uniform(0, 30), random.uniform(0, 200)))


def _listed(blows: tuple[Blow, ...]) -> str:
    return "".join(f"; {blow}" for blow in blows)
