"""From a kubeconfig's context to a client: credentials by the official client, nothing is sent yet."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from pytest_deploy.errors import Refused

__all__ = ["Wire", "check_context", "open_wire", "paths", "plain"]

_WORDS_LIMIT = 500
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One client of one API server.

    Args:
        pool: urllib3's pool, with the context's TLS settings.
        headers: gives the credentials' headers, renewed where the client knows how.
        ca_file: the authorities that the server's certificate is checked against; None: the machine's own.
        fixed_token: the credentials are a token that stands in the kubeconfig itself: nothing renews it.
    """

    server: str
    pool: Any
    headers: Callable[[], Mapping[str, str]]
    ca_file: str | None = None
    fixed_token: bool = False

    @property
    def ca_sha256(self) -> str | None:
        """SHA-256 of the authority's certificate in hexadecimal, as ``openssl x509 -fingerprint`` has it.

        Of several certificates in one file it is the hash of all of them, in order. None: the machine's own
        authorities vouch for the server.
        """
        if self.ca_file is None:
            return None
        import ssl

        text = Path(self.ca_file).read_text("ascii", "replace")
        certificates = _PEM.findall(text)
        return hashlib.sha256(b"".join(map(ssl.PEM_cert_to_DER_cert, certificates))).hexdigest()

    @property
    def expires(self) -> datetime | None:
        """When a token that nothing renews ends; None: there is none, or it does not say so."""
        kind, _, token = self.headers().get("authorization", "").partition(" ")
        parts = token.split(".")
        if not self.fixed_token or kind.lower() != "bearer" or len(parts) != 3:
            return None
        try:
            # A JWT (RFC 7519), whose signature is the server's business: https://www.rfc-editor.org/rfc/rfc7519#section-3
            claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
            return datetime.fromtimestamp(claims["exp"], UTC)
        except (ValueError, TypeError, KeyError, OverflowError, OSError):
            return None


def paths(kubeconfig: str | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the kubeconfig files that are there, as kubectl looks them up.

    Raises:
        Refused: there is none.
    """
    if kubeconfig is not None:
        asked = [Path(kubeconfig)]
    elif environ.get("KUBECONFIG"):
        asked = [Path(text) for text in environ["KUBECONFIG"].split(os.pathsep) if text]
    else:
        asked = [Path(environ.get("HOME") or os.path.expanduser("~"), ".kube", "config")]  # noqa: PTH111 - HOME may be unset
    found = tuple(path for path in asked if path.is_file())
    if not found:
        looked = ", ".join(map(str, asked))
        raise Refused(
            f"no kubeconfig: {looked} does not exist",
            hint="set KUBECONFIG, or environments.<name>.kubeconfig; without a cluster: --rehearse",
        )
    return found


def check_context(files: Sequence[Path], context: str) -> None:
    """Look the context up before the client is imported, so that a wrong name is told at once.

    Raises:
        Refused: no file has it, or one can't be read.
    """
    known = [str(item.get("name")) for item in _named(files, "contexts")]
    if context not in known:
        names = ", ".join(sorted(set(known))) or "none at all"
        raise Refused(
            f"no kube context {context!r} in {', '.join(map(str, files))}: known are {names}",
            hint="correct environments.<name>.context, or log in to that cluster",
        )


def open_wire(files: Sequence[Path], context: str) -> Wire:
    """Make the client of a context, as the files are now.

    Raises:
        Refused: its credentials or its server can't be used.
    """
    from kubernetes.client import Configuration
    from kubernetes.client.exceptions import OpenApiException
    from kubernetes.client.rest import RESTClientObject
    from kubernetes.config import load_kube_config
    from kubernetes.config.config_exception import ConfigException

    configuration = Configuration()
    try:
        cast("Any", load_kube_config)(
            config_file=os.pathsep.join(map(str, files)),
            context=context,
            client_configuration=configuration,
            persist_config=False,
        )
        pool = RESTClientObject(configuration).pool_manager
    except (ConfigException, OpenApiException, OSError, ValueError, KeyError, TypeError, binascii.Error) as error:
        raise Refused(
            f"kube context {context!r} can't be used: {plain(error)}",
            hint=f"see what kubectl --context {context} version says",
        ) from error

    def headers() -> dict[str, str]:
        settings = cast("Mapping[str, Mapping[str, Any]]", configuration.auth_settings())
        return {str(s["key"]): str(s["value"]) for s in settings.values() if s.get("in") == "header" and s.get("value")}

    return Wire(
        server=str(configuration.host).rstrip("/"),
        pool=pool,
        headers=headers,
        ca_file=configuration.ssl_ca_cert,
        fixed_token=_has_fixed_token(files, context),
    )


def _has_fixed_token(files: Sequence[Path], context: str) -> bool:
    """Whether the context's user has a token in the kubeconfig itself, and no program or file that gives a new one."""
    here = next(each for each in _named(files, "contexts") if each.get("name") == context)
    name = (here.get("context") or {}).get("user")
    user = next((each.get("user") or {} for each in _named(files, "users") if each.get("name") == name), {})
    return "token" in user and not user.keys() & {"tokenFile", "exec", "auth-provider"}


def _named(files: Sequence[Path], kind: str) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of a list in kubeconfigs; raises Refused where one can't be read."""
    import yaml

    # 30 times faster, and there wherever PyYAML's wheel is.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for path in files:
        try:
            config = yaml.load(path.read_bytes(), Loader=loader)  # noqa: S506 - it is a safe loader
        except (OSError, yaml.YAMLError) as error:
            raise Refused(f"kubeconfig {path} can't be read: {plain(error)}", hint="correct or remove it") from error
        entries = config.get(kind) if isinstance(config, dict) else None
        yield from (each for each in (entries if isinstance(entries, list) else ()) if isinstance(each, dict))


def plain(error: Exception) -> str:
    """Return an error in one line: urllib3's texts hold the pool's memory address and the whole URL."""
    text = " ".join(str(error).split())
    _, _, tail = text.partition(">: ") if ">: " in text else ("", "", text)
    tail = tail.partition("(Caused by")[0].strip() or text
    return f"{type(error).__name__}: {tail[:_WORDS_LIMIT]}"
