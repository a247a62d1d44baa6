"""What the real node itself runs: containerd, kubelet and kube-proxy, with their configuration, and its images."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_deploy.errors import ToolFailed
from pytest_deploy.io.process import run
from pytest_deploy.sandbox.node_space import Network
from pytest_deploy.sandbox.oci import Image, write_image
from pytest_deploy.sandbox.tools import Toolbox

__all__ = ["NODE", "PAUSE", "PLUGINS", "load_image", "node_argv", "pause_archive", "write_runtime"]

NODE = "sandbox-node"
PAUSE = "sandbox.pytest-deploy.dev/pause:1"

PLUGINS = "/usr/lib/cni"
"""Where Debian's containernetworking-plugins stand."""
_IMPORT_S = 120

_CONTAINERD = """version = 2
root = "{folder}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", \
"io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
address = "{folder}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{folder}/cni"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{folder}/registries"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def write_runtime(folder: Path, network: Network, group: str, ca: Path) -> None:
    """Write the configuration of containerd, its network, and kubelet into a folder.

    Args:
        group: the control group that holds all of the node's pods.
        ca: who calls kubelet shows a certificate of this authority.
    """
    for name in ("cni", "registries", "kubelet"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "containerd.toml").write_text(_CONTAINERD.format(folder=folder, pause=PAUSE, plugins=PLUGINS))
    (folder / "cni" / "10-sandbox.conflist").write_text(json.dumps(_cni(network), indent=2))
    (folder / "kubelet.json").write_text(json.dumps(_kubelet(folder, network, group, ca), indent=2))


def _cni(network: Network) -> Mapping[str, object]:
    # ptp routes between pods; a bridge would need the kernel's br_netfilter for a Service to reach its own node's pods.
    ranges = [[{"subnet": network.pods}]]
    ipam = {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/run/cni-leases"}
    plugins = [{"type": "ptp", "ipam": ipam}, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return {"cniVersion": "0.4.0", "name": "sandbox", "plugins": plugins}


def _kubelet(folder: Path, network: Network, group: str, ca: Path) -> Mapping[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.node,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(ca)},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{group}",
        "failCgroupV1": False,
        "failSwapOn": False,
        # The machine's disk is not this node's own: it is never full.
        "localStorageCapacityIsolation": False,
        "evictionHard": {"memory.available": "100Mi"},
        "imageGCHighThresholdPercent": 100,
        "podLogsDir": str(folder / "pods"),
        "resolvConf": "",
        "clusterDomain": "cluster.local",
        "nodeStatusUpdateFrequency": "4s",
        "shutdownGracePeriod": "0s",
    }


def node_argv(tools: Toolbox, folder: Path, network: Network, kubeconfig: Path) -> dict[str, tuple[str, ...]]:
    """Return the argv of each of the node's own processes, in the order of their start."""
    return {
        "containerd": ("containerd", "--config", str(folder / "containerd.toml"), "--log-level=warn"),
        "kubelet": (
            tools.need("kubelet"),
            f"--config={folder / 'kubelet.json'}",
            f"--kubeconfig={kubeconfig}",
            f"--root-dir={folder / 'kubelet'}",
            f"--cert-dir={folder / 'kubelet'}",
            f"--hostname-override={NODE}",
            f"--node-ip={network.node}",
        ),
        "kube-proxy": (
            tools.need("kube-proxy"),
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={NODE}",
            "--proxy-mode=iptables",
            f"--cluster-cidr={network.pods}",
            # These are limits of the whole machine, which a namespace can't set.
            "--conntrack-max-per-core=0",
            "--conntrack-min=0",
            "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s",
        ),
    }


def pause_archive(tools: Toolbox, archive: Path) -> Path:
    """Make the image that holds a pod's namespaces, unless it is there."""
    if not archive.exists():
        image = Image(name=PAUSE, entrypoint=("/pod", "pause"), user="65535:65535")
        write_image(archive, image, {"/pod": Path(tools.need("pod"))})
    return archive


def load_image(folder: Path, archive: Path) -> None:
    """Give an image archive to the node: its pods can run it without pulling it, by tag and by digest.

    Args:
        folder: the node's.

    Raises:
        ToolFailed: it is no image, or containerd does not answer.
    """
    try:
        with tarfile.open(archive) as tar:
            index: Any = json.loads((tar.extractfile("index.json") or io.BytesIO()).read())
        named = index["manifests"][0]["annotations"]["io.containerd.image.name"]
    except (OSError, tarfile.TarError, KeyError, IndexError, TypeError, ValueError) as error:
        msg = f"{archive} is no OCI image archive with a name in it: {error!r}"
        raise ToolFailed(
            msg, hint="it is what `make image` and `docker buildx build --output type=oci` write"
        ) from error
    # Without a base name the digests stand under a name that nobody knows.
    base = named.rpartition(":")[0]
    ctr = ("ctr", "--address", str(folder / "containerd.sock"), "--namespace", "k8s.io", "images", "import")
    done = run((*ctr, "--digests", "--base-name", base, str(archive)), timeout_s=_IMPORT_S)
    if done.status != 0 or done.timed_out:
        msg = f"containerd did not take {archive}: {done.stderr.strip()[-500:] or f'no answer in {_IMPORT_S} s'}"
        raise ToolFailed(msg, hint=f"see {folder / 'containerd.log'}")
