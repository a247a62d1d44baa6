"""A sandbox's life: up, healed, looked at, down."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from pytest_deploy.errors import Refused, ToolFailed
from pytest_deploy.io import daemon
from pytest_deploy.sandbox import kind, node_runtime, parts
from pytest_deploy.sandbox.backend import Backend
from pytest_deploy.sandbox.kwok import Kwok
from pytest_deploy.sandbox.node import Node, clear
from pytest_deploy.sandbox.place import folder_of, locked
from pytest_deploy.sandbox.stack import HEALTHY, Stack, load, save, with_health
from pytest_deploy.sandbox.tools import Toolbox, toolbox

__all__ = ["down", "load_image", "pause", "resume", "status", "up"]

_GRACE_S = 1.0
"""Enough to close sockets; what a longer one would write down is removed anyway."""

Say = Callable[[str], None]


def _silent(text: str) -> None:
    del text


def up(name: str = "default", *, backend: str | None = None, say: Say = _silent) -> Stack:
    """Return a stack that is healthy: the one that is up, healed if something died, or a new one.

    Several names stand side by side. What a killed ``up`` left half built, or another
    release has built, is removed first.

    Args:
        backend: "kwok", "node" or "kind"; None: what the stack has that is up, else kwok.
        say: is told what happens, a line at a time.

    Raises:
        Refused: it can't be a name, no port is free, or the stack that is up has another back end.
        ToolError: a program is missing, failed or did not become ready; a new stack is then removed again.
    """
    folder = folder_of(name)
    with locked(folder, say):
        stack = load(folder)
        if stack is not None and backend not in {None, stack.backend}:
            msg = f"sandbox {name} is up with the back end {stack.backend}, not {backend}"
            raise Refused(msg, hint=f"give the other a name of its own, or: pytest-deploy sandbox down --name {name}")
        if stack is not None and (stack := with_health(stack)).healthy:
            say(f"sandbox {name} is up")
            return stack
        if stack is None:
            if folder.exists():
                say(f"sandbox {name} is half built, it is removed and built anew")
            _remove(folder)
            folder.mkdir(mode=0o700)
        else:
            ill = ", ".join(f"{part}: {how}" for part, how in stack.components.items() if how != HEALTHY)
            say(f"sandbox {name} is healed ({ill})")
        try:
            return _make_whole(name, folder, _backend(stack.backend if stack else backend or "kwok"), stack, say)
        except BaseException:
            if stack is None:
                say(f"sandbox {name} did not come up and is removed")
                _remove(folder)
            raise


def status(name: str = "default") -> Stack | None:
    """Return the stack with the health of each component; None: there is none."""
    stack = load(folder_of(name))
    return with_health(stack) if stack is not None else None


def down(name: str = "default", *, say: Say = _silent) -> None:
    """Stop every process of the sandbox and remove its folder; where there is none, do nothing.

    Raises:
        ToolTimedOut: a process did not go.
    """
    folder = folder_of(name)
    with locked(folder, say):
        if folder.exists():
            say(f"stopping sandbox {name}")
        _remove(folder)


def load_image(archive: Path, name: str = "default") -> None:
    """Give an OCI image archive to the sandbox's real node: its pods run it without pulling it, by tag and digest.

    Raises:
        Refused: there is no such sandbox, or it has no real node.
        ToolFailed: the node did not take it.
    """
    stack = load(folder_of(name))
    if stack is None or stack.backend != "node":
        seen = "not up" if stack is None else f"up with the back end {stack.backend}, which is no real node of ours"
        more = f"; kind load image-archive {archive} --name {kind.cluster_name(name)}"
        hint = f"pytest-deploy sandbox up --backend node --name {name}"
        raise Refused(f"sandbox {name} is {seen}", hint=hint + (more if stack and stack.backend == "kind" else ""))
    node_runtime.load_image(stack.kwok_workdir, archive)


def pause(component: str, name: str = "default") -> None:
    """Freeze a component: its port stays open, and nobody answers.

    Raises:
        Refused: there is no such sandbox or component.
    """
    daemon.pause(_process(component, name))


def resume(component: str, name: str = "default") -> None:
    """Let a frozen component go on; raises as ``pause``."""
    daemon.resume(_process(component, name))


def _process(component: str, name: str) -> daemon.Daemon:
    stack = load(folder_of(name))
    if stack is None:
        msg = f"sandbox {name} is not up"
        raise Refused(msg, hint="start it: pytest-deploy sandbox up")
    if component not in stack.daemons:
        msg = f"sandbox {name} has no component {component!r}, only: {', '.join(sorted(stack.daemons))}"
        raise Refused(msg)
    return stack.daemons[component]


def _backend(name: str) -> Backend:
    made: dict[str, Callable[[Toolbox], Backend]] = {
        "kwok": lambda tools: Kwok(tools=tools),
        "node": lambda tools: Node(tools=tools),
        "kind": lambda tools: kind.Kind(tools=tools),
    }
    return made[name](toolbox())


def _make_whole(name: str, folder: Path, backend: Backend, former: Stack | None, say: Say) -> Stack:
    stack = parts.assemble(name, folder, backend, toolbox(), former, say)
    save(stack)
    stack = with_health(stack)
    if not stack.healthy:
        ill = ", ".join(f"{part}: {how}" for part, how in stack.components.items() if how != HEALTHY)
        msg = f"sandbox {name} was started, but is not healthy: {ill}"
        raise ToolFailed(msg, hint=f"pytest-deploy sandbox down --name {name}, and up")
    say(f"sandbox {name} is up")
    return stack


def _remove(folder: Path) -> None:
    stack = load(folder)
    known = list(stack.daemons.values()) if stack is not None else []
    # What a killed starter could not write down carries the mark, too.
    daemon.stop([*known, *daemon.started_with(parts.MARK, str(folder))], grace_s=_GRACE_S)
    daemon.stop(daemon.started_with(parts.MARK, str(folder)), grace_s=_GRACE_S)
    clear(folder.name)
    kind.clear(toolbox(), folder)
    if folder.exists():
        shutil.rmtree(folder)
