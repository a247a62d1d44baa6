"""A registry, a BuildKit and keys of these tests' own: what signs and builds is real, what it trusts was made here."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.sandbox.tools import toolbox

PROGRAMS = ("registry", "buildkitd", "buildx", "sbom-scanner", "cosign", "sigstore-made")
_UP_S = 30
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def programs() -> Mapping[str, str]:
    """Return the real parts; a machine without them is told which, and how to get them."""
    tools = toolbox()
    found = {name: tools.find(name) for name in (*PROGRAMS, "runc", "git")}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        pytest.fail(
            f"not here: {', '.join(missing)}; python toolchain/build.py supply-chain builds ours, "
            "apt-get install runc git brings Debian's",
            pytrace=False,
        )
    if os.geteuid():
        pytest.fail("buildkitd without rootlesskit needs root: run these tests as root", pytrace=False)
    return {name: str(path) for name, path in found.items()}


@dataclass(frozen=True, kw_only=True)
class Rig:
    """Where everything is.

    Args:
        registry: ``127.0.0.1:PORT``, plain HTTP, as cosign, BuildKit and we take for granted of a loopback address.
        scanner: reference of the SBOM generator, pushed to the registry.
        env: what a shell must hold so that buildx finds its builder.
    """

    folder: Path
    registry: str
    programs: Mapping[str, str]
    env: Mapping[str, str]
    scanner: str

    def run(self, *argv: str, cwd: Path | None = None, ok: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """Run one of the programs by its name."""
        done = subprocess.run(
            (self.programs[argv[0]], *argv[1:]), cwd=cwd, env={**self.env, **env}, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert not ok or done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def keys(self, name: str) -> tuple[Path, Path]:
        """Return a new key pair: private (without password) and public."""
        self.run("cosign", "generate-key-pair", "--output-key-prefix", name, cwd=self.folder, COSIGN_PASSWORD="")
        return self.folder / f"{name}.key", self.folder / f"{name}.pub"

    def source(self, name: str, *, dirty: bool = False) -> Path:
        """Return a git checkout with a Dockerfile that needs nothing else."""
        folder = self.folder / "sources" / name
        folder.mkdir(parents=True)
        (folder / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
        (folder / "var/lib/dpkg").mkdir(parents=True)
        (folder / "var/lib/dpkg/status").write_text(f"Package: {name}\nStatus: install ok installed\nVersion: 1.0-1\n")
        for argv in (
            ("init", "-q", "-b", "main"),
            ("remote", "add", "origin", f"https://oauth2:planted-token@git.example.com/acme/{name}.git"),
            ("add", "."),
            ("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "first"),
        ):
            self.run("git", *argv, cwd=folder)
        if dirty:
            (folder / "status").write_text("changed\n")
        return folder

    def commit(self, folder: Path) -> str:
        """Return the commit that is checked out."""
        return self.run("git", "rev-parse", "HEAD", cwd=folder).stdout.strip()

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, Mapping[str, str], bytes]:
        """Speak to the registry as its API says: https://distribution.github.io/distribution/spec/api/."""
        host, port = self.registry.split(":")
        connection = HTTPConnection(host, int(port), timeout=10)
        try:
            headers = {"Content-Type": kind} if kind else {"Accept": f"{_INDEX}, {_MANIFEST}"}
            connection.request(method, f"/v2/{path}", body=body or None, headers=headers)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def manifest(self, repository: str, reference: str) -> Any:
        """Return a manifest, by tag or digest."""
        status, _, body = self.ask("GET", f"{repository}/manifests/{reference}")
        assert status == 200, body
        return json.loads(body)

    def put_manifest(self, repository: str, tag: str, manifest: Mapping[str, Any]) -> str:
        """Push a manifest as it is, and return its digest."""
        body = json.dumps(manifest).encode()
        status, _, said = self.ask("PUT", f"{repository}/manifests/{tag}", body, str(manifest["mediaType"]))
        assert status == 201, said
        return "sha256:" + hashlib.sha256(body).hexdigest()

    def put_blob(self, repository: str, content: bytes) -> str:
        """Push a blob, and return its digest."""
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        _, headers, _ = self.ask("POST", f"{repository}/blobs/uploads/")
        path = headers["location"].partition("/v2/")[2]
        mark = "&" if "?" in path else "?"
        status, _, said = self.ask("PUT", f"{path}{mark}digest={digest}", content, "application/octet-stream")
        assert status == 201, said
        return digest

    def attach_bundle(self, repository: str, digest: str, bundle: bytes) -> None:
        """Attach a bundle to an image, as `cosign sign` does where a registry has no referrers API."""
        kind, empty = "application/vnd.dev.sigstore.bundle.v0.3+json", b"{}"
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "artifactType": kind,
            "config": {
                "mediaType": "application/vnd.oci.empty.v1+json",
                "digest": self.put_blob(repository, empty),
                "size": len(empty),
            },
            "layers": [{"mediaType": kind, "digest": self.put_blob(repository, bundle), "size": len(bundle)}],
            "subject": {
                "mediaType": _INDEX,
                "digest": digest,
                "size": len(self.ask("GET", f"{repository}/manifests/{digest}")[2]),
            },
        }
        content = json.dumps(manifest).encode()
        listed = {
            "mediaType": _MANIFEST,
            "digest": self.put_manifest(repository, f"sha256-{hashlib.sha256(content).hexdigest()[:12]}", manifest),
            "size": len(content),
            "artifactType": kind,
        }
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [listed]}
        self.put_manifest(repository, digest.replace(":", "-"), index)


@contextmanager
def standing(folder: Path) -> Iterator[Rig]:
    """Have registry and BuildKit up; both end with the block."""
    found = programs()
    registry = f"127.0.0.1:{_free_port()}"
    buildkit = folder / "buildkitd.sock"
    (folder / "registry.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/registry}}, "
        f"delete: {{enabled: true}}}}\nhttp: {{addr: '{registry}'}}\n"
    )
    (folder / "buildkitd.toml").write_text(
        f'root = "{folder}/buildkit"\n[grpc]\n  address = ["unix://{buildkit}"]\n'
        f'[worker.oci]\n  snapshotter = "native"\n  binary = "{found["runc"]}"\n'
        "[worker.containerd]\n  enabled = false\n"
        f'[registry."{registry}"]\n  http = true\n  insecure = true\n'
    )
    plugins = folder / "docker" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-buildx").symlink_to(found["buildx"])
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "DOCKER_CONFIG": str(folder / "docker"),
        "BUILDX_CONFIG": str(folder / "buildx"),
        "BUILDX_BUILDER": "rig",
    }
    with (
        _daemon(folder, env, found["registry"], "serve", str(folder / "registry.yml")),
        _daemon(folder, env, found["buildkitd"], "--config", str(folder / "buildkitd.toml")),
    ):
        rig = Rig(folder=folder, registry=registry, programs=found, env=env, scanner=f"{registry}/sbom-scanner:1")
        _eventually(lambda: rig.ask("GET", "")[0] == 200, folder)
        _eventually(buildkit.exists, folder)
        rig.run("buildx", "create", "--name", "rig", "--driver", "remote", f"unix://{buildkit}")
        _push_scanner(rig)
        yield rig


@contextmanager
def registry_front(rig: Rig, host: str) -> Iterator[str]:
    """Serve the same store by another address of this machine too, read-only, and yield ``HOST:PORT``."""
    address = f"{host}:{rig.registry.rpartition(':')[2]}"
    config = rig.folder / "front.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {rig.folder}/registry}}, "
        f"maintenance: {{readonly: {{enabled: true}}}}}}\nhttp: {{addr: '{address}'}}\n"
    )
    with _daemon(rig.folder, rig.env, rig.programs["registry"], "serve", str(config)):
        _eventually(lambda: socket.create_connection((host, int(address.rpartition(":")[2])), 1).close() is None,
                    rig.folder)  # fmt: skip
        yield address


def _push_scanner(rig: Rig) -> None:
    folder = rig.folder / "scanner"
    folder.mkdir()
    shutil.copy(rig.programs["sbom-scanner"], folder / "sbom-scanner")
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY sbom-scanner /\nENTRYPOINT ["/sbom-scanner"]\n')
    rig.run("buildx", "build", "--provenance=false", "--push", "--tag", rig.scanner, str(folder))


@contextmanager
def _daemon(folder: Path, env: Mapping[str, str], program: str, *argv: str) -> Iterator[None]:
    log = folder / f"{Path(program).name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen((program, *argv), env=env, stdout=output, stderr=output, start_new_session=True)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _eventually(holds: Any, folder: Path) -> None:
    until = time.monotonic() + _UP_S
    while True:
        try:
            if holds():
                return
        except OSError:
            pass
        if time.monotonic() > until:
            logs = "\n".join(log.read_text(errors="replace")[-1000:] for log in folder.glob("*.log"))
            pytest.fail(f"not up within {_UP_S} s:\n{logs}", pytrace=False)
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
