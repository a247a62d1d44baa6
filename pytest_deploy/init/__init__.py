"""Looks at a repository and writes what a deploy of it needs: nothing is asked, nothing is overwritten."""

from __future__ import annotations

from pytest_deploy.init.look import look
from pytest_deploy.init.seen import Place, Seen
from pytest_deploy.init.write import files, todo, write

__all__ = ["Place", "Seen", "files", "look", "todo", "write"]
