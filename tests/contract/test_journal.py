"""The local journal passes the contract; a disk is all it needs, so this runs everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.adapters.journal import JsonlJournal
from pytest_deploy.testing.contracts import JournalContract


class TestJsonlJournal(JournalContract):
    """``journal.jsonl``."""

    @pytest.fixture
    def journal(self, tmp_path: Path) -> JsonlJournal:
        """Give one in a folder that does not exist yet."""
        return JsonlJournal(tmp_path / "reports" / "id" / "journal.jsonl")
