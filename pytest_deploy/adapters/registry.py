"""What a registry holds, by digest: what it sends is taken only where it has that digest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from pytest_deploy.adapters.registry_login import authorization, login
from pytest_deploy.domain.release import Digest, ImageRef, parse_digest
from pytest_deploy.errors import DeployError, Faulted, Refused, Rejected
from pytest_deploy.io.http import Content, Http

if TYPE_CHECKING:
    import httpx2

    from pytest_deploy.ports import Clock

__all__ = ["Registry"]

_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)
_BLOB_LIMIT = 96 * 1024 * 1024
"""BuildKit lets an attestation have 80 MiB: https://github.com/moby/buildkit/blob/v0.34.2/docs/attestations/."""
_UNAUTHORIZED, _FORBIDDEN, _ABSENT = 401, 403, 404
_REDIRECTS = (301, 302, 303, 307, 308)
_LOCAL = re.compile(r"(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?")
"""Where all tools take plain HTTP for granted."""


class Registry:
    """Reads of registries: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md.

    Args:
        timeout: for one answer, retries included.
        transport: the network's place, for tests; None: the real one.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        timeout: timedelta = timedelta(seconds=30),
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._clock = clock
        self._timeout = timeout
        self._transport = transport
        self._granted: dict[tuple[str, str], Http] = {}

    def digest(self, image: ImageRef) -> Digest | None:
        """Return the digest that the registry gives for the image's digest, or for its tag; None: no such image.

        Raises:
            DeployError: there is no answer; never taken for "no such image".
        """
        reference = image.digest or image.tag
        if reference is None:
            raise Refused(f"{image} has neither tag nor digest: there is nothing to look for")
        answer = self._get(image.repository, f"manifests/{reference}")
        if answer is None:
            return None
        found = Digest("sha256:" + hashlib.sha256(answer.body).hexdigest())
        if image.digest is not None and found != image.digest:
            raise Faulted(
                f"the registry of {image.repository} sent {found} for {image.digest}",
                hint="do not deploy: find out who answers in the registry's place",
            )
        return found

    def manifest(self, repository: str, digest: str) -> Mapping[str, Any]:
        """Return an index or a manifest; raises DeployError where it is not there, or is not what was asked for."""
        return self._json(self._content(repository, "manifests", digest), f"{repository}@{digest}")

    def blob(self, repository: str, digest: str) -> Mapping[str, Any]:
        """Return a blob that is JSON; raises as ``manifest``."""
        return self._json(self._content(repository, "blobs", digest), f"{repository}@{digest}")

    def _content(self, repository: str, kind: str, digest: str) -> bytes:
        try:
            parse_digest(digest)
        except ValueError as error:
            raise Faulted(f"{repository}: {error}") from error
        answer = self._get(repository, f"{kind}/{digest}")
        if answer is None:
            raise Rejected(f"the registry has no {repository}@{digest}", hint="push it, or correct the digest")
        found = "sha256:" + hashlib.sha256(answer.body).hexdigest()
        if found != digest:
            raise Faulted(
                f"the registry of {repository} sent {found} for {digest}",
                hint="do not deploy: find out who answers in the registry's place",
            )
        return answer.body

    def _json(self, content: bytes, what: str) -> Mapping[str, Any]:
        try:
            parsed = json.loads(content)
        except ValueError as error:
            raise Faulted(f"{what} is no JSON") from error
        if not isinstance(parsed, dict):
            raise Faulted(f"{what} is no JSON object")
        return parsed

    def _get(self, repository: str, path: str) -> Content | None:
        host, name = _place(repository)
        accept = (_UNAUTHORIZED, _FORBIDDEN, _ABSENT, *_REDIRECTS)
        http = self._granted.get((host, name)) or self._open(f"{_scheme(host)}://{host}", {})
        url = f"/v2/{name}/{path}"
        answer = http.fetch(url, {"Accept": _MANIFESTS}, accept=accept, limit=_BLOB_LIMIT)
        if answer.status == _UNAUTHORIZED:
            http = self._log_in(host, name, answer)
            answer = http.fetch(url, {"Accept": _MANIFESTS}, accept=accept, limit=_BLOB_LIMIT)
        if answer.status in {_UNAUTHORIZED, _FORBIDDEN}:
            raise Rejected(
                f"the registry {host} does not let us read {name}: {answer.status}", hint=f"docker login {host}"
            )
        if answer.status in _REDIRECTS:
            answer = self._elsewhere(f"{_scheme(host)}://{host}{url}", answer)
        return None if answer.status == _ABSENT else answer

    def _log_in(self, host: str, name: str, answer: Content) -> Http:
        challenge = answer.headers.get("www-authenticate", "")
        try:
            granted = authorization(challenge, login(host), http=self._open)
        except DeployError as error:
            error.hint = error.hint or f"docker login {host}"
            raise
        self._granted[host, name] = http = self._open(f"{_scheme(host)}://{host}", {"Authorization": granted})
        return http

    def _elsewhere(self, asked: str, answer: Content) -> Content:
        """Fetch a blob from the store that the registry points to, which needs no login of ours and gets none."""
        target = urlsplit(urljoin(asked, answer.headers.get("location", "")))
        if target.scheme != "https" and not _LOCAL.fullmatch(target.netloc):
            raise Faulted(f"the registry points to {target.scheme}://{target.netloc}: only https is followed")
        query = f"?{target.query}" if target.query else ""
        return self._open(f"{target.scheme}://{target.netloc}", {}).fetch(target.path + query, limit=_BLOB_LIMIT)

    def _open(self, url: str, headers: Mapping[str, str]) -> Http:
        return Http(
            url,
            service="registry",
            clock=self._clock,
            timeout=self._timeout,
            headers=headers,
            transport=self._transport,
        )


def _place(repository: str) -> tuple[str, str]:
    """Return host and name, as Docker reads a reference: without a host it is Docker Hub's."""
    host, slash, name = repository.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        return ("registry-1.docker.io", name) if host in {"docker.io", "index.docker.io"} else (host, name)
    return "registry-1.docker.io", repository if slash else f"library/{repository}"


def _scheme(host: str) -> str:
    return "http" if _LOCAL.fullmatch(host) else "https"
