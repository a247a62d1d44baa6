"""The world in memory, with what a deploy finds in it: an image, a candidate's record, a journal on disk."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pytest_deploy.domain.record import STAGING, Check, Record, RecordKind
from pytest_deploy.domain.release import Release
from pytest_deploy.wanted import Wanted, World, pinned

__all__ = ["rehearsed"]


def rehearsed(wanted: Wanted) -> World:
    """Make it."""
    from pytest_deploy.adapters.journal import JsonlJournal
    from pytest_deploy.adapters.repository import signs
    from pytest_deploy.rehearsal import World as Rehearsal
    from pytest_deploy.rehearsal.gitops import RehearsedGitOps, RehearsedStack

    config, release = wanted.config, wanted.release
    built = "build" in config.sections and not wanted.candidate
    there = release if built else replace(release, image=pinned(release, wanted.deploy_id))
    start = datetime.now(UTC).replace(microsecond=0)
    made = Rehearsal(
        release=there,
        scrape_interval=config.metrics.scrape_interval,
        version_label=config.metrics.tells_versions_apart,
        queries=config.metrics.named_queries,
        sections=config.sections,
        start=start,
        slo=config.slo,
        folder=config.folder,
        load=config.load is not None,
        load_rate_per_s=config.load.http.rate_per_s if config.load and config.load.http else None,
        records=(_candidate(wanted, there, start),) if wanted.candidate else (),
    )
    ports = replace(
        made.ports(),
        journal=JsonlJournal(wanted.folder / "journal.jsonl"),
        lock=made.lock(wanted.environment, wanted.deploy_id),
        stack=RehearsedStack(signs(config.folder)),
        gitops=None if config.gitops is None else RehearsedGitOps(config.gitops.environments),
    )
    return World(ports=ports, release=there)


def _candidate(wanted: Wanted, release: Release, now: datetime) -> Record:
    """Return what a release candidate would have left an hour ago, so that the deploy after it can be rehearsed."""
    begun = now - timedelta(hours=1)
    staged = Check(name=STAGING, subject=STAGING, status="passed", words="rehearsed: nothing was staged", at=begun)
    if release.image.digest is None:
        raise AssertionError  # it was pinned
    return Record(
        kind=RecordKind.CANDIDATE,
        deploy_id="rehearsed-release-candidate",
        service=release.service,
        environment=STAGING,
        image=release.image.repository,
        digest=release.image.digest,
        commit=wanted.commit,
        chart=wanted.chart_hash,
        outcome="passed",
        checks=(staged,),
        began=begun,
        ended=begun,
    )
