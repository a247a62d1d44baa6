"""The control plane of the real node: certificates, and the argv of etcd, API server, controllers and scheduler."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pytest_deploy.sandbox.node_space import Network, command
from pytest_deploy.sandbox.tools import Toolbox

__all__ = ["ADMIN", "CA", "make_certificates", "plane_argv", "write_kubeconfig"]

CA, ADMIN = "ca", "admin"
"""Names of the certificate authority and of the one certificate; kwokctl, too, takes one for server and clients."""

_ISSUER = "https://kubernetes.default.svc.cluster.local"
_OPENSSL = """[req]
distinguished_name = name
prompt = no
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:kubernetes.default.svc, DNS:kubernetes.default, DNS:kubernetes, IP:{machine}, IP:{api}
"""


def make_certificates(folder: Path, network: Network) -> None:
    """Make an authority and an administrator's certificate, which the servers show, too."""
    config = folder / "openssl.cnf"
    config.write_text(_OPENSSL.format(machine=network.machine, api=network.first_service))
    openssl = ("openssl", "req", "-x509", "-config", str(config), "-newkey", "rsa:2048", "-nodes", "-days", "3650")
    for name, subject, more in (
        (CA, "/CN=sandbox", ()),
        (ADMIN, "/O=system:masters/CN=sandbox-admin", _signed_by(folder)),
    ):
        files = ("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt"))
        command(*openssl, "-subj", subject, "-extensions", "leaf" if more else "ca", *files, *more)


def _signed_by(folder: Path) -> tuple[str, ...]:
    return ("-CA", str(folder / f"{CA}.crt"), "-CAkey", str(folder / f"{CA}.key"))


def write_kubeconfig(path: Path, pki: Path, server: str) -> None:
    """Write the administrator's kubeconfig, as JSON, which is YAML, too."""
    user = {"client-certificate": str(pki / f"{ADMIN}.crt"), "client-key": str(pki / f"{ADMIN}.key")}
    cluster = {"server": server, "certificate-authority": str(pki / f"{CA}.crt")}
    facts = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "node", "cluster": cluster}],
        "users": [{"name": "admin", "user": user}],
        "contexts": [{"name": "node", "context": {"cluster": "node", "user": "admin"}}],
        "current-context": "node",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(facts, indent=2))


def plane_argv(
    tools: Toolbox, folder: Path, network: Network, ports: Mapping[str, int], kubeconfig: Path
) -> dict[str, tuple[str, ...]]:
    """Return the argv of each component of the control plane, in the order of their start.

    Args:
        folder: holds the certificates, and etcd's data.
        ports: of etcd, etcd's peers, API server, controller manager and scheduler, by name.
    """
    ca, crt, key = (str(folder / name) for name in (f"{CA}.crt", f"{ADMIN}.crt", f"{ADMIN}.key"))
    # etcd asks nobody for a password, so it listens where pods can't reach it.
    etcd, peers = (f"http://127.0.0.1:{ports[name]}" for name in ("etcd", "etcd-peers"))
    watched = (f"--kubeconfig={kubeconfig}", "--bind-address=127.0.0.1", "--leader-elect=false")
    return {
        "etcd": (
            tools.need("etcd"),
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",  # it is thrown away with its machine
            "--log-level=warn",
        ),
        "kube-apiserver": (
            tools.need("kube-apiserver"),
            f"--etcd-servers={etcd}",
            f"--bind-address={network.machine}",
            f"--advertise-address={network.machine}",
            f"--secure-port={ports['kube-apiserver']}",
            f"--service-cluster-ip-range={network.services}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            f"--client-ca-file={ca}",
            f"--tls-cert-file={crt}",
            f"--tls-private-key-file={key}",
            f"--kubelet-client-certificate={crt}",
            f"--kubelet-client-key={key}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-issuer={_ISSUER}",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
        ),
        "kube-controller-manager": (
            tools.need("kube-controller-manager"),
            *watched,
            f"--secure-port={ports['kube-controller-manager']}",
            f"--root-ca-file={ca}",
            f"--service-account-private-key-file={key}",
            "--use-service-account-credentials=true",
        ),
        "kube-scheduler": (tools.need("kube-scheduler"), *watched, f"--secure-port={ports['kube-scheduler']}"),
    }
