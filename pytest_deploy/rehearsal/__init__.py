"""The in-memory world behind ``--rehearse``: virtual time, no sockets, and the faults of the grammar."""

from pytest_deploy.rehearsal.clock import VirtualClock
from pytest_deploy.rehearsal.journal import MemoryJournal
from pytest_deploy.rehearsal.world import World

__all__ = ["MemoryJournal", "VirtualClock", "World"]
