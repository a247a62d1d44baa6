"""Clusters' states that rows begin from: made when first needed, and made anew once a deploy has changed one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.oracle import Place, Sandbox, eventually
from tests.e2e.refusals.parts import Parts

_REGISTRY_IMAGE = "image.repository={repository}"


class Grounds:
    """Namespaces with the old version in them, by what is special about them.

    ``home``: nothing; ``bare``: it is not there; ``supply``: its image is in the rig's registry; ``gone``: its image
    was in a registry that has lost it; ``burning``: most of its requests fail.
    """

    def __init__(self, sandbox: Sandbox, folder: Path, parts: Parts) -> None:
        self._sandbox, self._folder, self._parts = sandbox, folder, parts
        self._made: dict[str, Place] = {}
        self._numbers = count(1)

    def get(self, name: str) -> Place:
        """Return one that no deploy has changed."""
        if name not in self._made:
            self._made[name] = self._new(name)
        return self._made[name]

    def drop(self, name: str) -> None:
        """Let the next row have another one."""
        del self._made[name]

    def _new(self, name: str) -> Place:
        namespace = f"{name}-{next(self._numbers)}"
        place = Place(sandbox=self._sandbox, namespace=namespace, folder=self._folder / namespace)
        place.folder.mkdir()
        for each in (namespace, f"{namespace}-staging"):
            place.kubectl("create", "namespace", each)
        if name == "bare":
            return place
        digest, *more = self._special(name, place)
        argv = place.upgrade_argv(digest, *more)
        subprocess.run(argv, check=True, capture_output=True, timeout=60)
        eventually(lambda: place.pods() == {digest: 20}, "the old version is ready")
        return place

    def _special(self, name: str, place: Place) -> tuple[str, ...]:
        if name == "burning":
            rate = r"podAnnotations.sandbox\.pytest-deploy\.dev/error-rate=0.7"
            return (place.old, "--set-string", rate)
        if name in {"supply", "gone"}:
            bench = self._parts.bench
            digest = bench.plain().partition("@")[2] if name == "supply" else place.old
            return (digest, "--set", _REGISTRY_IMAGE.format(repository=bench.repository))
        return (place.old,)


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """Return the parts that are not the sandbox's."""
    with ExitStack() as until:
        yield Parts(tmp_path_factory.mktemp("parts"), until)


@pytest.fixture(scope="session")
def grounds(own_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory, parts: Parts) -> Grounds:
    """Return the states; the namespaces go with the sandbox."""
    return Grounds(own_sandbox, tmp_path_factory.mktemp("grounds"), parts)
