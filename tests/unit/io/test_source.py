"""What git tells of the source."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_deploy.errors import Refused
from pytest_deploy.io.source import Source, read_source


def _git(folder: Path, *argv: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    done = subprocess.run(("git", *who, *argv), cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_checkout_tells_commit_changes_and_origin(tmp_path: Path) -> None:
    """Changed, new and deleted files are changes, ignored ones are not; the origin's token is left out."""
    _git(tmp_path, "init", "-q")
    for name in ("a", "b"):
        (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text("ignored\n")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-qm", "first")
    _git(tmp_path, "remote", "add", "origin", "https://x:planted-token@git.example.com/acme/app.git")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    clean = Source(commit=commit, changed=(), url="https://git.example.com/acme/app.git")
    assert read_source(tmp_path) == clean
    assert (clean.revision, clean.tag) == (commit, f"sha-{commit[:7]}")
    (tmp_path / "a").write_text("changed")
    (tmp_path / "b").unlink()
    (tmp_path / "new file").touch()
    (tmp_path / "ignored").touch()
    dirty = read_source(tmp_path)
    assert dirty.changed == ("a", "b", "new file")
    assert (dirty.revision, dirty.tag) == (f"{commit}-dirty", f"sha-{commit[:7]}-dirty")


def test_a_folder_without_a_commit_is_refused(tmp_path: Path) -> None:
    """Neither a plain folder nor an empty repository can name a source."""
    with pytest.raises(Refused, match="no checkout with a commit"):
        read_source(tmp_path)
    _git(tmp_path, "init", "-q")
    with pytest.raises(Refused, match="no checkout with a commit"):
        read_source(tmp_path)
