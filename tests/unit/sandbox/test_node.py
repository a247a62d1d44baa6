"""The real node refuses what it can't do before it does anything; its images are what OCI says."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.errors import Refused, ToolFailed, ToolMissing
from pytest_deploy.sandbox import load_image, node, node_runtime, up
from pytest_deploy.sandbox.node_space import Network
from pytest_deploy.sandbox.oci import Image, write_image
from pytest_deploy.sandbox.tools import Toolbox

IMAGE = Image(name="example.com/team/app:1", entrypoint=("/app",), user="65535:65535", env=("A=b",))


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A file that stands for a program."""
    path = tmp_path / "program"
    path.write_bytes(b"#!/bin/true\n")
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a cache of its own, and a PATH on which nothing is."""
    monkeypatch.setenv("PYTEST_DEPLOY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_without_root_it_is_refused_with_the_other_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not root is told why, and of the back end that needs nothing; nothing is left."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Refused, match=r"needs root(.|\n)*--backend kwok"):
        up("mine", backend="node")
    assert not (tmp_path / "cache" / "sandbox" / "mine").exists()


def test_missing_packages_are_named_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of Debian's packages that are missing are one command."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(node_runtime, "PLUGINS", "/nowhere")
    with pytest.raises(ToolMissing, match=r"apt-get install .*containerd iptables runc containernetworking-plugins"):
        up("mine", backend="node")


@pytest.mark.parametrize("hidden", ["/run/x", "/var/lib/jenkins/cache", "/var/log/x"])
def test_a_cache_where_the_node_has_its_own_is_refused(hidden: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node sees empty folders there: its files can't stand in them."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(node, "_found", lambda _: True)
    monkeypatch.setattr(node_runtime, "PLUGINS", "/")
    with pytest.raises(Refused, match="PYTEST_DEPLOY_CACHE"):
        node.Node(tools=Toolbox()).start("mine", Path(hidden), {}, lambda _: None)


def test_an_image_goes_to_a_real_node_only(program: Path) -> None:
    """A sandbox that is not up takes no image."""
    with pytest.raises(Refused, match=r"not up(.|\n)*--backend node"):
        load_image(program)


def test_several_nodes_have_addresses_of_their_own() -> None:
    """No address or interface of one is another's."""
    first, second = Network(number=0), Network(number=63)
    for name in ("machine", "node", "pods", "services", "first_service", "interface"):
        assert getattr(first, name) != getattr(second, name)
    assert len(second.interface) <= 15  # what Linux takes


def test_an_image_is_its_blobs(program: Path, tmp_path: Path) -> None:
    """Each blob has the digest that it is called by, and the index leads by the manifest to the layer."""
    archive = tmp_path / "app.tar"
    digest = write_image(archive, IMAGE, {"/app": program})
    with tarfile.open(archive) as tar:
        files = {member.name: _content(tar, member) for member in tar.getmembers()}
    for name, content in files.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"
    index: Any = json.loads(files["index.json"])
    (manifest_of,) = index["manifests"]
    assert manifest_of["digest"] == digest
    assert manifest_of["annotations"]["io.containerd.image.name"] == IMAGE.name
    manifest: Any = json.loads(files[f"blobs/{digest.replace(':', '/')}"])
    config: Any = json.loads(files[f"blobs/{manifest['config']['digest'].replace(':', '/')}"])
    assert config["config"] == {
        "Entrypoint": ["/app"],
        "Env": ["A=b"],
        "User": "65535:65535",
        "WorkingDir": "/",
        "Labels": {},
    }
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]


def test_equal_content_is_the_same_image(program: Path, tmp_path: Path) -> None:
    """Digest and bytes depend on the content alone; a whole file system keeps its links."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "name").write_text("x", "utf-8")
    (root / "link").symlink_to("etc/name")
    digests = set()
    for number in (1, 2):
        os.utime(root / "etc" / "name", (number, number))
        digests.add(write_image(tmp_path / "app.tar", IMAGE, {"/app": program}, root=root))
    assert len(digests) == 1
    assert digests != {write_image(tmp_path / "app.tar", IMAGE, {"/app": program})}
    assert not list(tmp_path.glob("*.layer"))


def test_what_is_no_image_archive_is_told(tmp_path: Path) -> None:
    """A tar that is none of OCI's is an error with its name."""
    other = tmp_path / "other.tar"
    with tarfile.open(other, "w"):
        pass
    with pytest.raises(ToolFailed, match=r"other\.tar is no OCI image archive"):
        node_runtime.load_image(tmp_path, other)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    found = tar.extractfile(member)
    assert found is not None
    return found.read()
