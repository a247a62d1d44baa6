"""``lock``: how one deploy at a time is kept, and what the second one does."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from pytest_deploy.config.section import Section

__all__ = ["LockSection"]

_SHORTEST_S, _LONGEST_S = 3, 3600
"""An API server tells its time in whole seconds, and a third of the lease is slack; a dead deploy's lock lasts as long
as its lease."""
_LONGEST_LINE_MIN = 24 * 60


def _lease(value: int) -> int:
    if not _SHORTEST_S <= value <= _LONGEST_S:
        msg = f"{value} s: at least {_SHORTEST_S}, at most {_LONGEST_S}"
        raise ValueError(msg)
    return value


def _renew(value: float, info: ValidationInfo) -> float:
    longest = info.data.get("lease_s", _LONGEST_S) / 3
    if not 0 < value <= longest:
        msg = f"{value:g} s: more than 0, at most a third of lease_s ({longest:g} s)"
        raise ValueError(msg)
    return value


def _line(value: float) -> float:
    if not 0 <= value <= _LONGEST_LINE_MIN:
        msg = f"{value:g} minutes: at least 0 (refuse at once), at most {_LONGEST_LINE_MIN} (a day)"
        raise ValueError(msg)
    return value


class LockSection(Section):
    """``lock``: the Lease beside the workload."""

    wait_minutes: Annotated[float, AfterValidator(_line)] = Field(default=0, examples=[10])
    """Minutes to wait in line while another deploy of the release is open. 0: the second one is refused at once."""
    lease_s: Annotated[int, AfterValidator(_lease)] = Field(default=60, examples=[60])
    """Seconds after which a deploy that gives no sign of life is taken for dead. 60: four times client-go's 15."""
    renew_s: Annotated[float, AfterValidator(_renew)] = Field(default=5, examples=[5], validate_default=True)
    """Seconds between two signs of life. 5: six may fail in a row. At most a third of lease_s."""

    @property
    def wait(self) -> timedelta:
        """How long the second one waits."""
        return timedelta(minutes=self.wait_minutes)

    @property
    def lease(self) -> timedelta:
        """How long it lasts without a sign of life."""
        return timedelta(seconds=self.lease_s)

    @property
    def renew(self) -> timedelta:
        """Between two signs of life."""
        return timedelta(seconds=self.renew_s)
