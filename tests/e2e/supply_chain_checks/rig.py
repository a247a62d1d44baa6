"""A registry with images made here, and a database of vulnerabilities: trivy is real, what it knows is made up."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.sandbox.tools import toolbox

PROGRAMS = ("registry", "trivy", "trivy-db-maker", "kubeconform", "helm3", "helm4")
_UP_S = 30
_OCI = "application/vnd.oci.image"
OPENSSL, CURL, ZLIB = "CVE-2026-0001", "CVE-2026-0002", "CVE-2026-0003"
ROWS: Sequence[Mapping[str, str]] = (
    {"id": OPENSSL, "platform": "debian 12", "package": "openssl", "fixed_version": "3.0.11-2",
     "severity": "CRITICAL", "title": "made up: reads past the end"},
    {"id": CURL, "platform": "debian 12", "package": "curl", "fixed_version": "",
     "severity": "HIGH", "title": "made up: follows anybody"},
    {"id": ZLIB, "platform": "debian 12", "package": "zlib1g", "fixed_version": "1:1.3-1",
     "severity": "LOW", "title": "made up: is slow"},
)  # fmt: skip
"""What the database says; versions before the fixed one are vulnerable, without one all are."""


def programs() -> Mapping[str, str]:
    """Return the real parts; a machine without them is told which, and how to get them."""
    tools = toolbox()
    found = {name: tools.find(name) for name in PROGRAMS}
    if missing := [name for name, path in found.items() if path is None]:
        pytest.fail(
            f"not here: {', '.join(missing)}; python toolchain/build.py supply-chain sandbox builds them",
            pytrace=False,
        )
    return {name: str(path) for name, path in found.items()}


@dataclass(frozen=True, kw_only=True)
class Rig:
    """Where everything is.

    Args:
        registry: ``127.0.0.1:PORT``, plain HTTP.
        cache: trivy's cache folder, with the made-up database in it.
    """

    folder: Path
    registry: str
    programs: Mapping[str, str]
    cache: Path

    def database(self, name: str, rows: Sequence[Mapping[str, str]] = ROWS, *, updated_at: str | None = None) -> Path:
        """Return a cache folder whose database holds the rows."""
        cache = self.folder / name
        wanted = {"rows": list(rows), **({"updated_at": updated_at} if updated_at else {})}
        subprocess.run(
            (self.programs["trivy-db-maker"], str(cache / "db")), input=json.dumps(wanted), text=True, check=True,
            timeout=30,
        )  # fmt: skip
        return cache

    def image(self, name: str, packages: Mapping[str, str], *, os_release: str | None = "12") -> str:
        """Push an image with these Debian packages, and return its reference by digest.

        Args:
            packages: version by name.
            os_release: Debian's; None: an image that says nothing of itself.
        """
        files = {"hello": "hello\n"}
        if os_release is not None:
            files["etc/debian_version"] = f"{os_release}.1\n"
            files["etc/os-release"] = f'ID=debian\nVERSION_ID="{os_release}"\n'
        if packages:
            files["var/lib/dpkg/status"] = "\n".join(
                f"Package: {package}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n"
                for package, version in packages.items()
            )
        return f"{self.registry}/{name}@{self._manifest(name, 'amd64', files)[0]}"

    def index(self, name: str, packages: Mapping[str, Mapping[str, str]]) -> str:
        """Push an image for several architectures, each with its packages, and return the index by digest."""
        entries = []
        for arch, each in packages.items():
            pinned = self.image(name, each) if arch == "amd64" else self._other(name, arch, each)
            digest = pinned.partition("@")[2]
            size = len(self._ask("GET", f"{name}/manifests/{digest}")[1])
            entries.append({
                "mediaType": f"{_OCI}.manifest.v1+json", "digest": digest, "size": size,
                "platform": {"os": "linux", "architecture": arch},
            })  # fmt: skip
        body = {"schemaVersion": 2, "mediaType": f"{_OCI}.index.v1+json", "manifests": entries}
        return f"{self.registry}/{name}@{self._put(name, body)}"

    def _other(self, name: str, arch: str, packages: Mapping[str, str]) -> str:
        status = "\n".join(
            f"Package: {package}\nStatus: install ok installed\nArchitecture: {arch}\nVersion: {version}\n"
            for package, version in packages.items()
        )
        files = {
            "etc/debian_version": "12.1\n", "etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
            "var/lib/dpkg/status": status,
        }  # fmt: skip
        return f"{self.registry}/{name}@{self._manifest(name, arch, files)[0]}"

    def _manifest(self, name: str, arch: str, files: Mapping[str, str]) -> tuple[str, int]:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for path, text in files.items():
                member = tarfile.TarInfo(path)
                member.size = len(text.encode())
                tar.addfile(member, io.BytesIO(text.encode()))
        plain = buffer.getvalue()
        layer = gzip.compress(plain, mtime=0)
        config = json.dumps({
            "architecture": arch, "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [_sum(plain)]},
        }).encode()  # fmt: skip
        body = {
            "schemaVersion": 2, "mediaType": f"{_OCI}.manifest.v1+json",
            "config": {"mediaType": f"{_OCI}.config.v1+json", "digest": _sum(config), "size": len(config)},
            "layers": [{"mediaType": f"{_OCI}.layer.v1.tar+gzip", "digest": _sum(layer), "size": len(layer)}],
        }  # fmt: skip
        for blob in (config, layer):
            self._blob(name, blob)
        return self._put(name, body), len(json.dumps(body))

    def _blob(self, name: str, blob: bytes) -> None:
        status, _, headers = self._ask("POST", f"{name}/blobs/uploads/")
        assert status == 202
        where = headers["location"].partition("/v2/")[2]
        joiner = "&" if "?" in where else "?"
        status, said, _ = self._ask("PUT", f"{where}{joiner}digest={_sum(blob)}", blob, "application/octet-stream")
        assert status == 201, said

    def _put(self, name: str, body: Mapping[str, Any]) -> str:
        raw = json.dumps(body).encode()
        status, said, _ = self._ask("PUT", f"{name}/manifests/{_sum(raw)}", raw, str(body["mediaType"]))
        assert status == 201, said
        return _sum(raw)

    def _ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, bytes, Mapping[str, str]]:
        host, port = self.registry.split(":")
        connection = HTTPConnection(host, int(port), timeout=10)
        try:
            accept = f"{_OCI}.manifest.v1+json, {_OCI}.index.v1+json"
            connection.request(
                method, f"/v2/{path}", body=body or None, headers={"Content-Type": kind} if kind else {"Accept": accept}
            )
            answer = connection.getresponse()
            return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
        finally:
            connection.close()


@contextmanager
def rig(folder: Path) -> Iterator[Rig]:
    """Start a registry that lives as long as the block."""
    found = programs()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "registry.yaml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder / 'blobs'}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with (folder / "registry.log").open("w") as log:
        server = subprocess.Popen(
            (found["registry"], "serve", str(config)), stdout=log, stderr=log, start_new_session=True,
            env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
        )  # fmt: skip
    try:
        made = Rig(folder=folder, registry=f"127.0.0.1:{port}", programs=found, cache=folder / "cache")
        until = time.monotonic() + _UP_S
        while not _answers(made):
            assert time.monotonic() < until, (folder / "registry.log").read_text()
            time.sleep(0.05)
        made.database("cache")
        yield made
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _answers(made: Rig) -> bool:
    try:
        return made._ask("GET", "")[0] == 200
    except OSError:
        return False


def _sum(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
