"""``pytest-deploy verify``: what is signed of an image, and whether it may go to production."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_deploy.errors import GateBreach, Refused

if TYPE_CHECKING:
    from datetime import datetime

    from pytest_deploy.config.model import DeployConfig
    from pytest_deploy.domain.found import Found
    from pytest_deploy.domain.record import Record

__all__ = ["verify"]


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: pytest-deploy verify ghcr.io/acme/checkout-api@sha256:2a82...",
)
@click.argument("digest")
@click.option("--config", type=click.Path(path_type=Path), help="deploy.yaml; default: looked up from here upwards.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def verify(digest: str, config: Path | None, *, as_json: bool) -> None:
    """Verify the signature of an image and the records of it, and print them; nothing is changed.

    DIGEST is sha256:..., of deploy.yaml's image, or REPOSITORY@sha256:... Exit status 0: it is signed by who may,
    and where deploy.yaml has a section record, a release candidate's record counts for it. 1: it is not.
    """
    from pytest_deploy.config.load import find, load
    from pytest_deploy.io.clock import SystemClock

    found = load(config or find(Path.cwd()))
    clock = SystemClock()
    try:
        seen = _look(found, _pinned(found, digest), clock.now())
    except GateBreach as error:
        if as_json:
            click.echo(json.dumps({"verified": False, "why": str(error)}, indent=2))
        else:
            click.secho(f"NO: {error}", err=True)
        sys.exit(1)
    click.echo(json.dumps(seen.to_json(), indent=2) if as_json else seen.text(clock.now()))
    sys.exit(0 if seen.counts else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What was found of one image.

    Args:
        records: each with what keeps it from being evidence; None: deploy.yaml has no section ``record``.
    """

    pinned: str
    signature: Found
    records: Sequence[tuple[Record, Sequence[str]]] | None

    @property
    def counts(self) -> bool:
        """Whether it may go to production, as far as signatures say so."""
        return self.records is None or any(not wrong for _, wrong in self.records)

    def to_json(self) -> dict[str, object]:
        """Return it for machines."""
        from pytest_deploy.domain.codec import to_json

        records = None if self.records is None else [{**to_json(r), "problems": list(w)} for r, w in self.records]
        return {
            "verified": self.counts,
            "image": self.pinned,
            "signature": self.signature.words,
            "records": records,
        }

    def text(self, now: datetime) -> str:
        """Return it for people."""
        from pytest_deploy.domain.quantity import format_duration

        lines = [self.pinned, f"  signature   {self.signature.words}"]
        if self.records is None:
            return "\n".join([*lines, "  records     not looked for: deploy.yaml has no section record"])
        for record, wrong in self.records:
            age = format_duration(now - record.ended)
            lines += [
                f"  {record.kind.value:<11} {record.deploy_id}: {record.outcome}, {record.environment}, {age} ago",
                f"              commit {record.commit or 'unknown'}, chart {record.chart}",
                *(f"              {each.status:<7} {each.name} {each.subject}: {each.words}" for each in record.checks),
                *(f"              DOES NOT COUNT: {each}" for each in wrong),
            ]
        if not self.counts:
            lines.append(
                "NO: no record of a release candidate counts for it\n  next: pytest features/release_candidate.feature"
            )
        return "\n".join(lines)


def _look(config: DeployConfig, pinned: str, now: datetime) -> _Seen:
    from pytest_deploy import supply_chain
    from pytest_deploy.domain.record import RecordKind, problems
    from pytest_deploy.io.clock import SystemClock

    signer = supply_chain.verifier(config, SystemClock())
    if signer is None:
        raise Refused(
            f"{config.place('service')}: deploy.yaml has no section sign: nobody's signature counts",
            hint="write sign: {public_key: cosign.pub}, or sign: {identity: ..., issuer: ...}",
        )
    signature = signer.verify(pinned)
    records = supply_chain.trusted_records(config)
    if records is None or config.record is None:
        return _Seen(pinned=pinned, signature=signature, records=None)
    repository = pinned.partition("@")[0]
    judged: list[tuple[Record, Sequence[str]]] = []
    for record in records.find(pinned):
        wanted = replace(record, service=config.service, image=repository, ended=now)
        wrong = tuple(problems(record, wanted, max_age=config.record.max_age))
        if record.kind is not RecordKind.CANDIDATE:
            wrong = ("it tells of a deploy, not of a release candidate", *wrong)
        judged.append((record, wrong))
    return _Seen(pinned=pinned, signature=signature, records=judged)


def _pinned(config: DeployConfig, digest: str) -> str:
    from pytest_deploy.domain.release import ImageRef, parse_digest

    try:
        if "@" in digest:
            return ImageRef.parse(digest).pinned
        return replace(ImageRef.parse(config.image), tag=None, digest=parse_digest(digest)).pinned
    except ValueError as error:
        raise Refused(str(error), hint="give the digest: docker buildx imagetools inspect IMAGE:TAG") from error
