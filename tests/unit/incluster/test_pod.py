"""In the pod a deploy is a whole real one, by the account that the kubelet keeps fresh."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_deploy.incluster.bundle import CONTEXT
from pytest_deploy.incluster.pod import pytest_arguments, write_kubeconfig
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.io.kube import KubeApi


@pytest.mark.parametrize(
    ("host", "server"), [("10.0.0.1", "https://10.0.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_the_kubeconfig_leads_to_the_pods_own_cluster(host: str, server: str, tmp_path: Path) -> None:
    """Our client takes it, with the token as its file says it; an IPv6 address is written as one."""
    (tmp_path / "token").write_text("abc", "utf-8")
    (tmp_path / "ca.crt").write_text("", "utf-8")
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}
    file = tmp_path / "kubeconfig"
    write_kubeconfig(file, environ, tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    facts = json.loads(file.read_text("utf-8"))
    assert facts["users"][0]["user"] == {"tokenFile": str(tmp_path / "token")}
    assert facts["clusters"][0]["cluster"]["server"] == server
    facts["clusters"][0]["cluster"].pop("certificate-authority")
    file.write_text(json.dumps(facts), "utf-8")
    wire = KubeApi(clock=SystemClock()).at(CONTEXT, file).open_wire()
    assert wire.server == server
    assert wire.headers() == {"authorization": "Bearer abc"}


def test_the_feature_is_run_whole_and_confirmed(tmp_path: Path) -> None:
    """One feature is named, nothing is selected, and nobody is asked."""
    arguments = pytest_arguments(tmp_path, "features/x.feature")
    assert [each for each in arguments if each.endswith(".feature")] == [str(tmp_path / "features" / "x.feature")]
    assert "--deploy-yes" in arguments
    assert not {"-k", "-m", "--rehearse", "--sandbox"} & set(arguments)
