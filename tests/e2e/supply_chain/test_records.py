"""Signed records in the real registry: what one job leaves, the next one finds, and believes only where it may."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pytest_deploy.domain.record import Check, Record, RecordKind
from pytest_deploy.domain.release import Digest
from pytest_deploy.errors import GateBreach, ToolFailed, Unreachable
from tests.e2e.supply_chain.conftest import Bench, Keys

pytestmark = pytest.mark.real

_NOW = datetime(2026, 11, 24, 10, 15, tzinfo=UTC)


def _record(pinned: str, **changed: object) -> Record:
    repository, _, digest = pinned.partition("@")
    record = Record(
        kind=RecordKind.CANDIDATE,
        deploy_id="20261124T101500Z-app-3f2a",
        service="app",
        environment="staging",
        image=repository,
        digest=Digest(digest),
        commit="a" * 40,
        chart="sha256:1234",
        outcome="passed",
        checks=(Check(name="scan", subject="HIGH", status="passed", words='no "HIGH" ✓', at=_NOW),),
        began=_NOW,
        ended=_NOW + timedelta(minutes=4),
    )
    return replace(record, **changed)  # type: ignore[arg-type] - a test names what it changes


def test_what_was_attached_is_found_as_it_was_written_oldest_first(bench: Bench) -> None:
    """Two records of one image come back equal to what was written, by the time that they ended."""
    pinned = bench.build()
    later = _record(pinned, kind=RecordKind.DEPLOY, ended=_NOW + timedelta(hours=1))
    found = bench.records().attach(pinned, later)
    bench.records().attach(pinned, earlier := _record(pinned))
    assert bench.records().find(pinned) == (earlier, later)
    assert found.words.startswith("record of 20261124T101500Z-app-3f2a attached to")
    assert '"kind": "deploy"' in found.attachments[0].text


def test_an_image_without_records_has_none(bench: Bench) -> None:
    """Unsigned or signed: no record is no error, it is the empty answer."""
    pinned = bench.build()
    assert bench.records().find(pinned) == ()
    bench.signer().sign(pinned)
    assert bench.records().find(pinned) == ()


def test_records_of_somebody_else_are_refused(bench: Bench, theirs: Keys) -> None:
    """There is a record and nobody who may has signed it: that is told, and is not the same as none."""
    pinned = bench.build()
    with pytest.raises(Exception, match="signed, and is not believed"):
        bench.records(theirs).attach(pinned, _record(pinned))
    with pytest.raises(GateBreach, match=r"has 1 record, none signed by key sha256:\w{12}(?s:.*)next:"):
        bench.records().find(pinned)
    bench.records().attach(pinned, ours := _record(pinned))
    assert bench.records().find(pinned) == (ours,)


def test_a_record_of_another_image_does_not_count(bench: Bench) -> None:
    """A record that is attached to this image and tells of another one is left out."""
    pinned, other = bench.build(), bench.build()
    with pytest.raises(Exception, match="is not there"):
        bench.records().attach(pinned, _record(other))
    assert bench.records().find(pinned) == ()


def test_a_copied_record_does_not_count(bench: Bench) -> None:
    """The attestations of a tested image, put where those of another are looked for, say nothing of it."""
    good, bad = bench.build(), bench.build()
    bench.records().attach(good, _record(good))
    tags = ["sha256-" + pinned.rpartition(":")[2] for pinned in (good, bad)]
    bench.rig.put_manifest(bench.name, tags[1], bench.rig.manifest(bench.name, tags[0]))
    with pytest.raises(GateBreach, match="none signed by"):
        bench.records().find(bad)


def test_a_statement_of_another_type_is_no_record(bench: Bench) -> None:
    """What we have signed as something else stays something else, whatever stands in it."""
    import json

    from pytest_deploy.domain.codec import to_json

    pinned = bench.build()
    predicate = bench.rig.folder / "record.json"
    predicate.write_text(json.dumps(to_json(_record(pinned))))
    bench.cosign().make("attest", "--type", "custom", "--predicate", str(predicate), pinned)
    assert bench.records().find(pinned) == ()


def test_a_record_that_we_cannot_read_is_no_record_and_no_silence(bench: Bench) -> None:
    """Signed by who may, in a form that this version does not know: there is no answer."""
    pinned = bench.build()
    predicate = bench.rig.folder / "future.json"
    predicate.write_text('{"kind": "candidate", "future": true}')
    bench.cosign().make("attest", "--type", "urn:pytest-deploy:record:v1", "--predicate", str(predicate), pinned)
    with pytest.raises(ToolFailed, match=r"unknown future(?s:.*)use the same one in both jobs"):
        bench.records().find(pinned)


def test_a_registry_that_is_down_is_no_absence(bench: Bench) -> None:
    """Nobody knows whether there is a record."""
    with pytest.raises(Unreachable, match="connection refused"):
        bench.records().find(f"127.0.0.1:1/app@sha256:{'0' * 64}")
