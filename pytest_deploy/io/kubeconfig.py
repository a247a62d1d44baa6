"""From a kubeconfig's context to a client: credentials by the official client, nothing is sent yet."""

from __future__ import annotations

import binascii
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pytest_deploy.errors import Refused

__all__ = ["Wire", "check_context", "open_wire", "paths", "plain"]

_WORDS_LIMIT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One client of one API server.

    Args:
        pool: urllib3's pool, with the context's TLS settings.
        headers: gives the credentials' headers, renewed where the client knows how.
    """

    server: str
    pool: Any
    headers: Callable[[], Mapping[str, str]]


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
    import yaml

    # 30 times faster, and there wherever PyYAML's wheel is.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    known: list[str] = []
    for path in files:
        try:
            config = yaml.load(path.read_bytes(), Loader=loader)  # noqa: S506 - it is a safe loader
        except (OSError, yaml.YAMLError) as error:
            raise Refused(f"kubeconfig {path} can't be read: {plain(error)}", hint="correct or remove it") from error
        contexts = config.get("contexts") if isinstance(config, dict) else None
        named = contexts if isinstance(contexts, list) else []
        known += [str(item.get("name")) for item in named if isinstance(item, dict)]
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

    return Wire(server=str(configuration.host).rstrip("/"), pool=pool, headers=headers)


def plain(error: Exception) -> str:
    """Return an error in one line: urllib3's texts hold the pool's memory address and the whole URL."""
    text = " ".join(str(error).split())
    _, _, tail = text.partition(">: ") if ">: " in text else ("", "", text)
    tail = tail.partition("(Caused by")[0].strip() or text
    return f"{type(error).__name__}: {tail[:_WORDS_LIMIT]}"
