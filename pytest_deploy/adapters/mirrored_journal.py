"""A journal that is kept twice: in the cluster, which is the truth, and on the disk, which is the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_deploy.domain.journal import Entry, EntryState
from pytest_deploy.errors import DeployError

if TYPE_CHECKING:
    from pytest_deploy.domain.policy import Decision
    from pytest_deploy.ports import Journal

__all__ = ["MirroredJournal"]


class MirroredJournal:
    """Port ``Journal``, written to the first and then to the second.

    Args:
        truth: what undo is computed from.
        mirror: what undo is computed from where the truth can't be read: it knows all that this process was let do.
    """

    def __init__(self, truth: Journal, mirror: Journal) -> None:
        self._truth = truth
        self._mirror = mirror

    def append(self, entry: Entry) -> None:
        """Store one entry in both; what happened is evidence also where the truth can't be written any more.

        Raises:
            DeployError: one of them can't store it; nothing may be mutated then.
        """
        try:
            self._truth.append(entry)
        except DeployError:
            if entry.state is not EntryState.INTENT:
                with suppress(DeployError):
                    self._mirror.append(entry)
            raise
        self._mirror.append(entry)

    def entries(self) -> Sequence[Entry]:
        """Return all entries of this deploy, in order.

        Raises:
            DeployError: the truth can't be read, and the mirror can't either or holds nothing; or the truth says that
                somebody else writes in it now ("foreign change"), and then the mirror is no longer true.
        """
        try:
            return self._truth.entries()
        except DeployError as error:
            if error.cause == "foreign change":
                raise
            # An empty one, in a new process, knows nothing: "nothing is open" would be a guess.
            if found := self._mirror.entries():
                return found
            raise

    def decision(self, hold: int) -> Decision | None:
        """Return the answer to a hold, wherever it was given; None: there is none yet.

        Raises:
            DeployError: one of them can't be read.
        """
        return self._mirror.decision(hold) or self._truth.decision(hold)
