"""Requests to the stack's own parts on this machine; light, because the traffic source lives on it.

The adapters speak HTTP through ``io.http``; here it is loopback only, with nothing to retry or to redact.
"""

from __future__ import annotations

import json
import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from pytest_deploy.errors import Faulted, Unreachable

__all__ = ["connect", "get"]

TIMEOUT_S = 2.0


def connect(url: str, *, kubeconfig: Path | None = None) -> HTTPConnection:
    """Return a connection to the server of an address; with https, as the kubeconfig's administrator."""
    parts = urlsplit(url)
    host = parts.netloc
    if parts.scheme == "https" and kubeconfig is not None:
        return HTTPSConnection(host, timeout=TIMEOUT_S, context=_tls(kubeconfig))
    return HTTPConnection(host, timeout=TIMEOUT_S)


def get(url: str, *, kubeconfig: Path | None = None) -> str:
    """Return the body of an answer with status 200.

    Raises:
        Unreachable: no answer within two seconds.
        Faulted: another status.
    """
    parts = urlsplit(url)
    connection = connect(url, kubeconfig=kubeconfig)
    try:
        connection.request("GET", parts.path + (f"?{parts.query}" if parts.query else ""))
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        msg = f"{parts.netloc} does not answer: {type(error).__name__}: {error}"
        raise Unreachable(msg) from error
    finally:
        connection.close()
    if answer.status != 200:
        msg = f"{parts.netloc}{parts.path} answers {answer.status}: {body.strip()[:200]}"
        raise Faulted(msg)
    return body


def _tls(kubeconfig: Path) -> ssl.SSLContext:
    """Read the sandbox's own kubeconfig, which is written as JSON (that is YAML, too)."""
    facts = json.loads(kubeconfig.read_text())
    user = facts["users"][0]["user"]
    context = ssl.create_default_context(cafile=facts["clusters"][0]["cluster"]["certificate-authority"])
    context.load_cert_chain(user["client-certificate"], user["client-key"])
    return context
