"""Images built by docker buildx, with provenance and SBOM, and pushed; the digest is the registry's."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from pytest_deploy.domain.found import Attachment
from pytest_deploy.domain.release import Digest, ImageRef, parse_digest
from pytest_deploy.errors import DeployError, Refused, ToolFailed, ToolTimedOut
from pytest_deploy.io.process import DEFAULT_INHERIT, Completed, run
from pytest_deploy.io.source import Source
from pytest_deploy.io.team_program import last_lines

__all__ = ["Buildx", "builder_id"]

_INHERIT = (
    *DEFAULT_INHERIT,
    # Which Docker, which builder, which logins: https://docs.docker.com/reference/cli/docker/#environment-variables
    "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY",
    "BUILDX_CONFIG", "BUILDX_BUILDER", "SOURCE_DATE_EPOCH",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
_SHOWN = 5
_ERROR_LINES = 6


class Buildx:
    """Port ``Builder``.

    Args:
        source: returns what is checked out.
        digest_of: returns the digest that the registry gives for a tag, None where it has none.
        program: how buildx is called: ``docker buildx``, or the program ``buildx`` alone.
        context: the folder that is built.
        dockerfile: None: ``Dockerfile`` in it.
        builder: by its name in ``docker buildx ls``; None: the current one.
        url: of the source; None: of git's ``origin``.
        args: build arguments; they stand in the provenance, so that no secret may be among them.
        secrets: names of variables that the Dockerfile mounts as secrets under the same id.
        sbom_generator: image of the SBOM generator; None: BuildKit's own choice.
        allow_dirty: build also what is not committed; tag and label then say so.
    """

    def __init__(
        self,
        *,
        source: Callable[[], Source],
        digest_of: Callable[[ImageRef], Digest | None],
        context: Path,
        program: Sequence[str] = ("docker", "buildx"),
        dockerfile: Path | None = None,
        platform: str = "linux/amd64",
        builder: str | None = None,
        url: str | None = None,
        args: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        sbom_generator: str | None = None,
        allow_dirty: bool = False,
        timeout: timedelta = timedelta(minutes=30),
    ) -> None:
        self._source = source
        self._digest_of = digest_of
        self._context = context
        self._program = tuple(program)
        self._dockerfile = dockerfile
        self._platform = platform
        self._builder = builder
        self._url = url
        self._args = dict(args or {})
        self._secrets = tuple(secrets)
        self._sbom_generator = sbom_generator
        self._allow_dirty = allow_dirty
        self._timeout = timeout

    def build(self, image: ImageRef) -> Digest:
        """Build and push, and return the digest that the registry holds; an image with a digest is not built again.

        Raises:
            Refused: what is here is not what is committed, or no registry holds the digest that is given.
            ToolFailed, ToolTimedOut, ToolMissing: it was not built, or not pushed.
            DeployError: the registry holds something else under its tag.
        """
        if image.digest is not None:
            if self._digest_of(image) is None:
                raise Refused(f"the registry has no {image.pinned}", hint="correct the digest, or take it out to build")
            return image.digest
        source = self._source()
        if source.changed and not self._allow_dirty:
            more = f" and {len(source.changed) - _SHOWN} more" if len(source.changed) > _SHOWN else ""
            raise Refused(
                f"{len(source.changed)} files differ from commit {source.commit[:12]}: "
                f"{', '.join(source.changed[:_SHOWN])}{more}; nobody could build this image again",
                hint="git commit, or git stash --include-untracked; build.allow_dirty: true builds it all the same",
            )
        tagged = ImageRef(repository=image.repository, tag=image.tag or source.tag)
        with tempfile.TemporaryDirectory() as scratch:
            metadata = Path(scratch) / "metadata.json"
            done = self._run(self._argv(tagged, source, metadata), tagged)
            log = (Attachment("docker buildx build", _log(done)),)
            digest = _digest(metadata, log)
        held = self._digest_of(tagged)
        if held != digest:
            raise DeployError(
                f"buildx pushed {tagged} as {digest}, but the registry holds {held or 'nothing'} under that tag",
                hint="somebody else pushes the same tag: let one job at a time build a commit, then run this again",
                attachments=log,
            )
        return digest

    def _argv(self, tagged: ImageRef, source: Source, metadata: Path) -> tuple[str, ...]:
        url = self._url or source.url
        identity = builder_id(os.environ)
        options = [
            "--platform", self._platform, "--pull",
            "--label", f"org.opencontainers.image.revision={source.revision}",
            *(("--label", f"org.opencontainers.image.source={url}") if url else ()),
            f"--provenance={f'mode=min,builder-id={identity}' if identity else 'true'}",
            f"--sbom={f'generator={self._sbom_generator}' if self._sbom_generator else 'true'}",
            "--push", "--tag", str(tagged), "--metadata-file", str(metadata), "--progress", "plain",
        ]  # fmt: skip
        options += ["--builder", self._builder] if self._builder else []
        options += ["--file", str(self._dockerfile)] if self._dockerfile else []
        for name, value in sorted(self._args.items()):
            options += ["--build-arg", f"{name}={value}"]
        for name in self._secrets:
            options += ["--secret", f"id={name},env={name}"]
        return (*self._program, "build", *options, str(self._context))

    def _run(self, argv: Sequence[str], tagged: ImageRef) -> Completed:
        shown = " ".join(self._program)
        inherit = (*_INHERIT, *self._secrets)
        done = run(argv, timeout_s=self._timeout.total_seconds(), inherit=inherit, cwd=self._context, grace_s=10)
        log = (Attachment("docker buildx build", _log(done)),)
        if done.timed_out:
            minutes = self._timeout.total_seconds() / 60
            raise ToolTimedOut(
                f"{shown} had not built {tagged} after {minutes:g} minutes",
                hint="see in its log where it stood; raise build.timeout_minutes",
                attachments=log,
            )
        if done.status:
            words = last_lines(done.stderr, _ERROR_LINES).replace("\n", "; ")
            raise ToolFailed(
                f"{shown} ended with status {done.status}, {tagged} is not built: {words or 'no words'}",
                hint=_mend(done.stderr),
                attachments=log,
            )
        return done


def builder_id(environ: Mapping[str, str]) -> str | None:
    """Return who builds, as docker/build-push-action writes it: the CI run's address; None: not in GitHub Actions."""
    if not (run_id := environ.get("GITHUB_RUN_ID")):
        return None
    server, repository = environ.get("GITHUB_SERVER_URL", ""), environ.get("GITHUB_REPOSITORY", "")
    return f"{server}/{repository}/actions/runs/{run_id}/attempts/{environ.get('GITHUB_RUN_ATTEMPT', '1')}"


def _digest(metadata: Path, log: Sequence[Attachment]) -> Digest:
    try:
        return parse_digest(str(json.loads(metadata.read_text())["containerimage.digest"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ToolFailed(
            f"buildx succeeded and does not tell the digest: {type(error).__name__} in its metadata file",
            hint="use a builder that can push: docker buildx create --use",
            attachments=log,
        ) from error


def _log(done: Completed) -> str:
    return f"$ {' '.join(done.argv)}\n{done.stderr}{done.stdout}"


def _mend(said: str) -> str:
    if "unknown command" in said or "unknown flag" in said or "is not a docker command" in said:
        return "install the plug-in buildx, or name the program: build.buildx: [buildx]"
    if "401" in said or "403" in said or "denied" in said or "unauthorized" in said.lower():
        return "docker login, with an account that may push there"
    if "Attestation is not supported" in said or "attestations are not supported" in said.lower():
        return "use a builder that makes attestations: docker buildx create --use"
    if "connection refused" in said or "no such host" in said or "Cannot connect" in said:
        return "see whether builder and registry can be reached: docker buildx inspect"
    return "the log says where it failed"
