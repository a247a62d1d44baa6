"""A registry and a BuildKit for this folder's tests, and images in it that each is wrong in one way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from pytest_deploy.adapters.buildx import Buildx
from pytest_deploy.adapters.cosign import CosignSigner
from pytest_deploy.adapters.records import AttestedRecords
from pytest_deploy.adapters.registry import Registry
from pytest_deploy.domain.release import Digest, ImageRef
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.io.cosign import Cosign, Trust
from pytest_deploy.io.source import read_source
from tests.e2e.supply_chain.rig import Rig, standing

_NUMBERS = count(1)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """A signer, by key, without a log: there is no Sigstore here."""

    private: Path
    public: Path

    @property
    def trust(self) -> Trust:
        """They are who may sign."""
        return Trust(key=str(self.public), log=False)


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Have registry and BuildKit up for the session."""
    with standing(tmp_path_factory.mktemp("supply")) as made:
        yield made


@pytest.fixture(scope="session")
def ours(rig: Rig) -> Keys:
    """Return the keys that are trusted."""
    private, public = rig.keys("ours")
    return Keys(private=private, public=public)


@pytest.fixture(scope="session")
def theirs(rig: Rig) -> Keys:
    """Return the keys of somebody else."""
    private, public = rig.keys("theirs")
    return Keys(private=private, public=public)


@pytest.fixture(autouse=True)
def _environment(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in rig.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GITHUB_RUN_ID", raising=False)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a test works with: adapters on the rig, and a repository of its own."""

    rig: Rig
    repository: str
    ours: Keys

    @property
    def name(self) -> str:
        """The repository without its registry."""
        return self.repository.partition("/")[2]

    def buildx(self, folder: Path, **changed: object) -> Buildx:
        """Return a builder of the folder, as deploy.yaml would make it."""
        return Buildx(
            **{  # type: ignore[arg-type] - a test names what it changes
                "source": lambda: read_source(folder),
                "digest_of": Registry(clock=SystemClock()).digest,
                "context": folder,
                "sbom_generator": self.rig.scanner,
                # Docker's command line with the plug-in, where a machine has it.
                "program": ("docker", "buildx") if shutil.which("docker") else (self.rig.programs["buildx"],),
                **changed,
            }
        )

    def build(self, folder: Path | None = None, **changed: object) -> str:
        """Build and push an image, and return it pinned."""
        folder = folder or self.rig.source(f"{self.name}-{next(_NUMBERS)}")
        image = ImageRef(repository=self.repository)
        return image.with_digest(self.buildx(folder, **changed).build(image)).pinned

    def plain(self, *options: str, folder: Path | None = None) -> str:
        """Build an image by buildx alone, and return it pinned."""
        folder = folder or self.rig.source(f"{self.name}-{next(_NUMBERS)}")
        metadata = folder.with_suffix(".json")
        self.rig.run("buildx", "build", *options, "--push", "--tag", f"{self.repository}:plain", "--metadata-file",
                     str(metadata), str(folder))  # fmt: skip
        digest = Digest(json.loads(metadata.read_text())["containerimage.digest"])
        return f"{self.repository}@{digest}"

    def cosign(self, keys: Keys | None = None) -> Cosign:
        """Return a cosign that signs with these keys; default: ours."""
        return Cosign(binary=self.rig.programs["cosign"], key=str((keys or self.ours).private), log=False)

    def signer(self, keys: Keys | None = None, **changed: object) -> CosignSigner:
        """Return one that signs with these keys, and trusts ours."""
        return CosignSigner(
            **{  # type: ignore[arg-type] - a test names what it changes
                "cosign": self.cosign(keys),
                "trust": self.ours.trust,
                "content": Registry(clock=SystemClock()),
                "commit": None,
                **changed,
            }
        )

    def records(self, keys: Keys | None = None) -> AttestedRecords:
        """Return one that signs records with these keys, and trusts ours."""
        return AttestedRecords(self.cosign(keys), trust=self.ours.trust)


@pytest.fixture
def bench(rig: Rig, ours: Keys, request: pytest.FixtureRequest) -> Bench:
    """Give the test a repository of its own."""
    return Bench(rig=rig, repository=f"{rig.registry}/app-{next(_NUMBERS)}", ours=ours)


Script = Callable[[str, str], str]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Write programs that stand in the place of a real one; they are told apart by their name."""

    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return write
