"""Pinned parts and the cache their builds live in."""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import sysconfig
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# Hashed into every key: raise it when recipes.py builds something else out of the same pins.
RECIPE = 1
LOCK = ".lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One pinned part; `home` holds its finished build, or does not exist."""

    name: str
    version: str
    table: dict[str, Any]
    key: str
    home: Path

    @property
    def log(self) -> Path:
        """Log of the latest build, kept whether it succeeded or not."""
        return self.home.with_suffix(".log")

    def ready(self) -> bool:
        """True once the build is complete: `home` appears by one rename, never piecemeal."""
        return self.home.is_dir()

    @property
    def binaries(self) -> dict[str, str]:
        """Absolute path of each binary, by name."""
        names = [*self.table.get("go", ()), *self.table.get("take", ())]
        return {name: str(self.home / "bin" / name) for name in names}

    @property
    def folders(self) -> dict[str, str]:
        """Absolute path of each folder of files that are no binaries, by name."""
        return {name: str(self.home / to) for name, (*_, to) in self.table.get("share", {}).items()}

    @property
    def module(self) -> Path:
        """Folder of the Go module that pins this part."""
        return HERE / self.name


def cache_root() -> Path:
    """Return the toolchain's folder in the user's cache; PYTEST_DEPLOY_CACHE moves the cache."""
    moved = os.environ.get("PYTEST_DEPLOY_CACHE")
    xdg = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    base = Path(moved) if moved else Path(xdg) / "pytest-deploy"
    return base.absolute() / "toolchain"


@functools.cache
def pins() -> dict[str, Any]:
    """Return pins.toml."""
    return tomllib.loads((HERE / "pins.toml").read_text("utf-8"))


@functools.cache
def load() -> dict[str, Part]:
    """Return every pinned part, by name."""
    return {name: _part(name, table) for name, table in pins()["parts"].items()}


def select(targets: list[str]) -> list[Part]:
    """Return the parts that part and group names stand for, in the order of pins.toml.

    Raises:
        ValueError: a target is neither a part nor a group.
    """
    parts, groups = load(), dict(pins()["groups"])
    groups["all"] = [name for name in parts if name != "go"]
    known = {**{name: [name] for name in parts}, **groups}
    if unknown := [target for target in targets if target not in known]:
        raise ValueError(f"unknown target {', '.join(unknown)}; known: {', '.join(known)}")
    wanted = {name for target in targets for name in known[target]}
    return [part for name, part in parts.items() if name in wanted]


def _part(name: str, table: dict[str, Any]) -> Part:
    digest = hashlib.sha256()
    digest.update(f"{RECIPE} {sysconfig.get_platform()} {json.dumps(table)}".encode())
    for pin in ("go.mod", "go.sum") if "go" in table else ():
        digest.update((HERE / name / pin).read_bytes())
    key = digest.hexdigest()[:16]
    home = cache_root() / name / key
    return Part(name=name, version=table["version"], table=table, key=key, home=home)


@contextlib.contextmanager
def locked(folder: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of a cache folder; `waiting` is called twice a second until it is free."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waiting()
                time.sleep(0.5)
        yield


@contextlib.contextmanager
def staging(part: Part) -> Iterator[Path]:
    """Yield a folder that becomes the part's home when the block succeeds and vanishes when not.

    Call it with the part's lock held: leftovers of a killed build are removed first.
    """
    for stale in part.home.parent.glob(".new-*"):
        remove(stale)
    folder = Path(tempfile.mkdtemp(prefix=".new-", dir=part.home.parent))
    try:
        (folder / "bin").mkdir()
        yield folder
        folder.chmod(0o755)
        folder.rename(part.home)
    finally:
        remove(folder)


def remove(folder: Path) -> None:
    """Delete a folder if it exists, in one step for whoever looks at its name."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder.rename(folder.with_name(f".new-gone-{os.getpid()}-{folder.name}")))


def write_current() -> None:
    """Bring current.json, by which the installed package finds the builds, up to date.

    Builds of other pins stay listed while their files exist and no build of these pins replaces
    them.
    """
    file = cache_root() / "current.json"
    with locked(file.parent):
        before = json.loads(file.read_text("utf-8")) if file.exists() else {}
        binaries = {n: p for n, p in before.get("binaries", {}).items() if Path(p).exists()}
        crds = before.get("argo_crds")
        crds = crds if crds and Path(crds).is_dir() else None
        for part in load().values():
            if part.ready():
                binaries |= part.binaries
                crds = part.folders.get("argo-crds", crds)
        after = {"binaries": dict(sorted(binaries.items())), "argo_crds": crds}
        if after != before:
            temp = file.with_suffix(".tmp")
            temp.write_text(json.dumps(after, indent=2) + "\n", "utf-8")
            temp.replace(file)


def clean() -> list[Path]:
    """Delete the builds and logs of pins that are no longer current, and return their paths."""
    keep = {path for part in load().values() for path in (part.home, part.log)}
    gone = []
    for folder in sorted(path for path in cache_root().glob("*") if path.is_dir()):
        with locked(folder):
            for path in sorted(set(folder.iterdir()) - keep - {folder / LOCK}):
                if path.is_dir():
                    remove(path)
                else:
                    path.unlink()
                gone.append(path)
    write_current()
    return gone
