"""Names, tools, records and locks of a sandbox, without starting one."""

import json
from pathlib import Path

import pytest

from pytest_deploy.errors import Refused, ToolMissing
from pytest_deploy.io.daemon import Daemon
from pytest_deploy.sandbox import PROFILE, Stack, down, pause, status, toolbox, up
from pytest_deploy.sandbox.place import folder_of, free_ports, locked
from pytest_deploy.sandbox.stack import load, save, with_health


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a cache of its own, and a PATH on which nothing is."""
    monkeypatch.setenv("PYTEST_DEPLOY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "cache"


def built(cache: Path, *names: str) -> None:
    """Record programs as the toolchain does."""
    folder = cache / "toolchain"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("")
        (folder / name).chmod(0o755)
    facts = {"binaries": {name: str(folder / name) for name in names}, "argo_crds": None}
    (folder / "current.json").write_text(json.dumps(facts))


def stack(folder: Path) -> Stack:
    """Return a stack whose only process is gone."""
    return Stack(
        name="mine",
        backend="kwok",
        folder=folder,
        kubeconfig=folder / "kubeconfig",
        server="https://127.0.0.1:1",
        prometheus_url="http://127.0.0.1:2",
        control_url="http://127.0.0.1:3",
        controller_url="http://127.0.0.1:4",
        kwok_workdir=folder / "kwok",
        daemons={"etcd": Daemon(pid=1, began="long ago")},
    )


@pytest.mark.parametrize("name", ["", "a/b", "..", "-a", "A", "a" * 33])
def test_a_name_that_cannot_be_a_folder_is_refused(name: str) -> None:
    """What could lead out of the cache, or is no plain name, names no sandbox."""
    with pytest.raises(Refused, match="can't name a sandbox"):
        folder_of(name)


def test_path_comes_before_the_toolchain(cache: Path, tmp_path: Path) -> None:
    """A program on PATH is taken; else the toolchain's; else it is told how to get it."""
    built(cache, "kwokctl", "kubectl")
    own = tmp_path / "bin" / "kubectl"
    own.parent.mkdir()
    own.write_text("")
    own.chmod(0o755)
    assert toolbox().need("kubectl") == str(own)
    assert toolbox().need("kwokctl") == str(cache / "toolchain" / "kwokctl")
    with pytest.raises(ToolMissing, match=r"needs etcd.*\n  next: .*make toolchain"):
        toolbox().need("etcd")
    with pytest.raises(ToolMissing, match="CRDs"):
        toolbox().need_crds()


def test_a_broken_record_is_told(cache: Path) -> None:
    """A current.json that is not the toolchain's is an error, not an empty toolbox."""
    (cache / "toolchain").mkdir(parents=True)
    (cache / "toolchain" / "current.json").write_text("[]")
    with pytest.raises(ToolMissing, match="is no record of the toolchain"):
        toolbox()


@pytest.mark.enable_socket
def test_up_without_tools_leaves_nothing(cache: Path) -> None:
    """Where the tools are missing, up says so, and no folder or lock stays."""
    said: list[str] = []
    with pytest.raises(ToolMissing, match="kwokctl"):
        up("mine", say=said.append)
    assert list((cache / "sandbox").iterdir()) == []
    assert said[-1] == "sandbox mine did not come up and is removed"


def test_there_is_none(cache: Path) -> None:
    """Without a sandbox status is None, down does nothing, and pause says how to start one."""
    assert status("mine") is None
    down("mine")
    assert list((cache / "sandbox").iterdir()) == []
    with pytest.raises(Refused, match="is not up"):
        pause("prometheus", "mine")


def test_a_stack_is_read_back(tmp_path: Path) -> None:
    """What was saved is loaded again; anything else is no stack."""
    assert load(tmp_path) is None
    save(stack(tmp_path))
    assert load(tmp_path) == stack(tmp_path)
    (tmp_path / "stack.json").write_text("{")
    assert load(tmp_path) is None


def test_another_release_s_stack_is_none(tmp_path: Path) -> None:
    """One that lacks what this release needs of it is built anew, not used."""
    save(stack(tmp_path))
    facts = json.loads((tmp_path / "stack.json").read_text())
    (tmp_path / "stack.json").write_text(json.dumps(facts | {"layout": 1}))
    assert load(tmp_path) is None


def test_a_process_that_is_gone_is_ill(tmp_path: Path) -> None:
    """A number that is another process's now is not health; a stack that was not looked at is not healthy either."""
    assert not stack(tmp_path).healthy
    found = with_health(stack(tmp_path))
    assert found.components == {"etcd": "gone"}
    assert not found.healthy


def test_unknown_components_are_named(cache: Path) -> None:
    """Pausing what is not there lists what is."""
    folder = folder_of("mine")
    folder.mkdir(parents=True)
    save(stack(folder))
    with pytest.raises(Refused, match="no component 'grafana', only: etcd"):
        pause("grafana", "mine")


def test_the_lock_leaves_no_file(cache: Path) -> None:
    """While a sandbox is worked on there is a lock, and afterwards there is none."""
    with locked(folder_of("mine"), print):
        assert [path.name for path in (cache / "sandbox").iterdir()] == [".mine.lock"]
    assert list((cache / "sandbox").iterdir()) == []


def test_the_json_is_what_machines_read(tmp_path: Path) -> None:
    """The keys that others rely on are there, and it can be written as JSON."""
    facts = json.loads(json.dumps(stack(tmp_path).to_json()))
    assert {"name", "kubeconfig", "prometheus_url", "registry", "control_url", "kwok_workdir"} <= facts.keys()
    assert facts["daemons"] == {"etcd": {"pid": 1, "began": "long ago"}}


def test_the_profile_is_shipped() -> None:
    """The built-in deploy.yaml names the two contexts of the kubeconfig."""
    text = PROFILE.read_text()
    assert "context: sandbox-staging" in text
    assert "context: sandbox-prod" in text


def test_too_few_ports_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where too few ports are free, it is said, with where to look."""
    monkeypatch.setattr("pytest_deploy.sandbox.place._PORTS", range(20_000, 20_000))
    with pytest.raises(Refused, match="only 0 of 1 ports are free"):
        free_ports(1)
