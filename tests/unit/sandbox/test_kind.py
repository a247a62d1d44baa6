"""The back end kind: its command lines, what it refuses, and what it leaves; programs stand in for kind and kubectl."""

from __future__ import annotations

import base64
import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.errors import Refused, ToolFailed, ToolMissing
from pytest_deploy.sandbox import Stack, kind, load_image, up
from pytest_deploy.sandbox.kind import Kind
from pytest_deploy.sandbox.place import folder_of
from pytest_deploy.sandbox.stack import save
from pytest_deploy.sandbox.tools import Toolbox

CLUSTER = "pytest-deploy-mine"
NO_ENGINE = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
_KIND = """\
#!/bin/sh
echo "$*" >> {folder}/asked
case "$*" in
  "get clusters") cat {folder}/clusters || exit 1;;
  "create cluster"*) echo {cluster} >> {folder}/clusters; exit $(cat {folder}/create);;
  "delete cluster"*) : > {folder}/clusters;;
esac
"""


@dataclass(frozen=True, kw_only=True)
class World:
    """A PATH with docker, kind and kubectl, which note how they are called."""

    folder: Path

    @property
    def tools(self) -> Toolbox:
        """Where they are."""
        return Toolbox(path=str(self.folder / "bin"))

    @property
    def asked(self) -> list[str]:
        """How kind was called."""
        return (self.folder / "asked").read_text().splitlines()

    @property
    def state(self) -> Path:
        """The back end's folder."""
        return self.folder / "sandbox" / "kind"

    def put(self, name: str, text: str) -> None:
        """Put a program on the PATH."""
        path = self.folder / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def start(self) -> Any:
        """Start the cluster of the sandbox "mine"."""
        return Kind(tools=self.tools).start("mine", self.state, {}, lambda _: None)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An engine without clusters, and a kubeconfig as kind writes it."""
    made = World(folder=tmp_path)
    (tmp_path / "bin").mkdir()
    made.state.mkdir(parents=True)
    (tmp_path / "clusters").write_text("")
    (tmp_path / "create").write_text("0")
    embedded = {name: base64.b64encode(name.encode()).decode() for name in ("ca", "crt", "key")}
    user = {"client-certificate-data": embedded["crt"], "client-key-data": embedded["key"]}
    cluster = {"server": "https://127.0.0.1:40123", "certificate-authority-data": embedded["ca"]}
    (tmp_path / "view.json").write_text(json.dumps({"clusters": [{"cluster": cluster}], "users": [{"user": user}]}))
    made.put("docker", "#!/bin/sh\n")
    made.put("kubectl", f'#!/bin/sh\necho "$*" > {tmp_path}/viewed\ncat {tmp_path}/view.json\n')
    made.put("kind", _KIND.format(folder=tmp_path, cluster=CLUSTER))
    return made


def test_a_cluster_of_its_own_is_created_and_read(world: World) -> None:
    """Kind gets a name and a kubeconfig of this sandbox's alone; what is embedded there becomes files, the key ours."""
    plane = world.start()
    kubeconfig = world.state / "kubeconfig"
    created = f"create cluster --name {CLUSTER} --kubeconfig {kubeconfig} --wait 120s"
    assert world.asked == ["get clusters", created]
    view = f"config view --kubeconfig {kubeconfig} --raw --output json"
    assert (world.folder / "viewed").read_text().strip() == view
    assert plane.server == "https://127.0.0.1:40123"
    assert [path.read_text() for path in (plane.ca, plane.certificate, plane.key)] == ["ca", "crt", "key"]
    assert stat.S_IMODE(plane.key.stat().st_mode) == 0o600
    assert plane.daemons == {}  # the engine's, so that nobody here signals them


def test_started_again_it_creates_nothing(world: World) -> None:
    """The cluster that it has made is found by its name, and read anew."""
    assert world.start() == world.start()
    assert [line.split()[0] for line in world.asked] == ["get", "create", "get"]


def test_a_cluster_of_somebody_else_is_left_alone(world: World) -> None:
    """One of that name that this sandbox has not made is neither used nor, afterwards, deleted."""
    (world.folder / "clusters").write_text(f"other\n{CLUSTER}\n")
    with pytest.raises(Refused, match=r"this sandbox has not made(.|\n)*kind delete cluster --name pytest-deploy-mine"):
        world.start()
    kind.clear(world.tools, world.state.parent)
    assert world.asked == ["get clusters"]


def test_one_that_failed_half_way_is_deleted_by_clear(world: World) -> None:
    """After a create that failed, clear calls kind's delete, once."""
    (world.folder / "create").write_text("1")
    with pytest.raises(ToolFailed, match="kind create cluster ended with status 1"):
        world.start()
    kind.clear(world.tools, world.state.parent)
    kind.clear(world.tools, world.state.parent)
    deleted = f"delete cluster --name {CLUSTER} --kubeconfig {world.state / 'kubeconfig'}"
    assert world.asked[2:] == [deleted]


def test_one_that_the_engine_has_lost_is_told(world: World) -> None:
    """Removed behind our back (docker system prune): said so, with the way to a new one."""
    world.start()
    (world.folder / "clusters").write_text("")
    with pytest.raises(ToolFailed, match=r"is gone from the Docker engine(.|\n)*sandbox down --name mine, and up"):
        world.start()


def test_without_an_engine_kinds_own_words_are_told(world: World) -> None:
    """Nothing is created, nothing is left to delete, and the hint names what needs no engine."""
    world.put("kind", f"#!/bin/sh\necho '{NO_ENGINE}' >&2\nexit 1\n")
    with pytest.raises(ToolFailed, match=rf"kind get clusters .*{NO_ENGINE[:40]}(.|\n)*--backend kwok"):
        world.start()
    assert list(world.state.iterdir()) == []


def test_a_kubeconfig_that_can_not_be_read_is_told(world: World) -> None:
    """Not what kind writes: an error that names the file."""
    (world.folder / "view.json").write_text('{"clusters": null}')
    with pytest.raises(ToolFailed, match=r"can't read what kind wrote into .*kubeconfig"):
        world.start()


def test_what_is_missing_is_named_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker, kind and kubectl, each with how to get it; nothing is left."""
    monkeypatch.setenv("PYTEST_DEPLOY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ToolMissing, match=r"needs docker, kind, kubectl(.|\n)*engine/install(.|\n)*build.py kind"):
        up("mine", backend="kind")
    assert not folder_of("mine").exists()


def test_a_stack_is_healthy_only_with_its_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API is a component of it although its process is not ours; and an image is given by kind itself."""
    monkeypatch.setenv("PYTEST_DEPLOY_CACHE", str(tmp_path))
    folder = folder_of("mine")
    folder.mkdir(parents=True)
    url = "http://127.0.0.1:1"
    stack = Stack(
        name="mine",
        backend="kind",
        folder=folder,
        kubeconfig=folder / "kubeconfig",
        server=url,
        prometheus_url=url,
        control_url=url,
        controller_url=url,
        kwok_workdir=folder / "kind",
        daemons={},
    )
    assert stack.parts == ("kube-apiserver",)
    assert not stack.healthy
    save(stack)
    with pytest.raises(Refused, match=r"back end kind(.|\n)*kind load image-archive .* --name pytest-deploy-mine"):
        load_image(tmp_path / "app.tar", "mine")
