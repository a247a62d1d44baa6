"""A real Prometheus that lets in only who shows a certificate and a password."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy import sandbox
from pytest_deploy.adapters.prometheus import Prometheus
from pytest_deploy.errors import ConfigError, Rejected, Unreachable
from pytest_deploy.io import daemon
from pytest_deploy.io.access import basic, bearer
from pytest_deploy.sandbox.place import free_ports
from tests.e2e.prometheus_rig import CLOCK

pytestmark = pytest.mark.real

PASSWORD = "hunter2-hunter2"  # noqa: S105 - of a server that lives for a second
BCRYPT = "$2b$04$abcdefghijklmnopqrstuuho/ppTcmsBIj2TNMdOGwEUcNR/Zfi5u"
"""Of it, as Prometheus wants it in its file."""


@dataclass(kw_only=True)
class Guarded:
    """Where it is, and the folder of the certificates."""

    url: str
    folder: Path

    def metrics(self, **more: Any) -> Prometheus:
        """Return the adapter with these credentials."""
        return Prometheus(
            self.url, scrape_interval=timedelta(seconds=1), timeout=timedelta(seconds=3), clock=CLOCK, **more
        )


def certificates(folder: Path) -> None:
    """Make an authority, and certificates that it signs for the server and for us."""

    def openssl(*args: str) -> None:
        subprocess.run(("openssl", *args), cwd=folder, check=True, capture_output=True, timeout=30)

    new_key = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(*new_key, "-x509", "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl(*new_key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("x509", "-req", "-days", "2", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-extfile", "san", "-out", f"{name}.pem")  # fmt: skip


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Run one behind mutual TLS and a password."""
    folder = tmp_path_factory.mktemp("guarded")
    certificates(folder)
    web = {
        "tls_server_config": {
            "cert_file": "server.pem",
            "key_file": "server.key",
            "client_auth_type": "RequireAndVerifyClientCert",
            "client_ca_file": "ca.pem",
        },
        "basic_auth_users": {"deploy": BCRYPT},
    }
    (folder / "web.yaml").write_text(json.dumps(web))
    (folder / "prometheus.yaml").write_text("{}")
    port = free_ports(1)[0]
    argv = (
        sandbox.toolbox().need("prometheus"),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--web.config.file={folder / 'web.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    )
    process = daemon.spawn(argv, log=folder / "prometheus.log")
    made = Guarded(url=f"https://127.0.0.1:{port}", folder=folder)
    try:
        yield made
    finally:
        daemon.stop([process])


def shown(guarded: Guarded, **more: Any) -> Prometheus:
    """Return the adapter that shows everything, but for what is given."""
    files = {name: str(guarded.folder / f"{name}.pem") for name in ("ca", "client")}
    right = {
        "headers": {"Authorization": basic("deploy", PASSWORD)},
        "ca_file": files["ca"],
        "client_cert": (files["client"], str(guarded.folder / "client.key")),
    }
    return guarded.metrics(**{**right, **more})


def test_whoever_shows_everything_is_let_in(guarded: Guarded) -> None:
    """Authority, client certificate and password together, through the adapter's own arguments."""
    assert abs(shown(guarded).now() - CLOCK.now()) < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"headers": {}}, Rejected, "no credentials were sent"),
        ({"headers": {"Authorization": basic("deploy", PASSWORD + "x")}}, Rejected, "are wrong or have expired"),
        ({"headers": {"Authorization": bearer(PASSWORD)}}, Rejected, "are wrong or have expired"),
        ({"ca_file": None, "client_cert": None}, Unreachable, "as ca_file"),
        ({"client_cert": None}, Unreachable, "wants a client certificate"),
    ],
    ids=["no password", "wrong password", "a token", "unknown authority", "no client certificate"],
)
def test_what_is_missing_is_named(guarded: Guarded, more: dict[str, Any], error: type[Exception], words: str) -> None:
    """Each with its mend, at once, and without a word of the password."""
    assert shown(guarded).now()
    began = CLOCK.monotonic()
    with pytest.raises(error) as caught:
        shown(guarded, **more).now()
    assert words in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert CLOCK.monotonic() - began < 2


def test_a_key_that_wants_a_password_is_a_wrong_setting(guarded: Guarded) -> None:
    """Nobody is asked for one in the middle of a deploy."""
    locked = guarded.folder / "locked.key"
    argv = ("openssl", "ec", "-aes256", "-passout", "pass:open sesame", "-in", "client.key", "-out", str(locked))
    subprocess.run(argv, cwd=guarded.folder, check=True, capture_output=True, timeout=30)
    with pytest.raises(ConfigError, match="no client certificate with its key"):
        shown(guarded, client_cert=(str(guarded.folder / "client.pem"), str(locked))).now()
