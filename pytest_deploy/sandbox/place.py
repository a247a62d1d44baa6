"""A sandbox's place on this machine: its folder, its lock, and ports that nobody has."""

from __future__ import annotations

import fcntl
import os
import random
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pytest_deploy.errors import Refused
from pytest_deploy.sandbox.tools import cache_folder

__all__ = ["folder_of", "free_ports", "locked", "ports_chosen"]

_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,30}[a-z0-9])?")
_PORTS = range(20_000, 32_000)
"""Below the ports that Linux gives to outgoing connections (32768 and up), and kwokctl's own (32767 and down)."""


def folder_of(name: str) -> Path:
    """Return the folder of a sandbox, which need not exist.

    Raises:
        Refused: it can't be a name.
    """
    if not _NAME.fullmatch(name):
        msg = f"{name!r} can't name a sandbox: at most 32 lower-case letters, digits and '-', no '-' at an end"
        raise Refused(msg, hint="choose another: pytest-deploy sandbox up --name NAME")
    return cache_folder() / "sandbox" / name


@contextmanager
def locked(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Be the only one, of all processes, that works on this sandbox; the lock leaves no file."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.parent / f".{folder.name}.lock"
    handle = _open_locked(path, say)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            path.unlink()
        os.close(handle)


@contextmanager
def ports_chosen(folder: Path) -> Iterator[None]:
    """Be the only one, of all sandboxes, that chooses ports: they look free until they are listened on."""
    handle = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now.

    Raises:
        Refused: there are not enough.
    """
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    msg = f"only {len(found)} of {count} ports are free on 127.0.0.1 between {_PORTS.start} and {_PORTS.stop}"
    raise Refused(msg, hint="see who listens: ss -ltnp")


def _open_locked(path: Path, say: Callable[[str], None]) -> int:
    while True:
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another process works on this sandbox: waiting for it")
                fcntl.flock(handle, fcntl.LOCK_EX)
            # Its former holder may have removed the file while we waited: then this lock excludes nobody.
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
