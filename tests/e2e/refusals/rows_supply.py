"""Rows: build, signature, record and staging, with the real BuildKit, registry and cosign."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import yaml

from pytest_deploy.config.chart_hash import chart_hash
from pytest_deploy.config.load import load
from pytest_deploy.domain.record import STAGING, Check, Record, RecordKind
from pytest_deploy.domain.release import Digest
from pytest_deploy.errors import DeployError, GateBreach
from tests.e2e.oracle import SERVICE
from tests.e2e.refusals.parts import Parts
from tests.e2e.refusals.rows_cluster import NOBODY
from tests.e2e.refusals.world import World, row, with_staging

BUILT = "When the image is built, pushed and signed"
VERIFIED = "Then its signature, provenance and SBOM are verified"
BELIEVED = "Given the release candidate's record is verified"
STAGED = ('When the release is installed on "staging"', "Then every pod runs the pinned digest within 20 seconds")
ANEW = "pytest features/release_candidate.feature"
NO_EVIDENCE = "is no evidence for {image}"


@row(what="1 files differ from commit", where="status", mend="git commit", ground="supply", records=True)
def dirty_tree(world: World) -> None:
    """What would be built is not what was committed."""
    folder = world.parts.supply.source(f"dirty-{world.place.namespace}", dirty=True)
    _build(world, folder)


@row(what="no checkout with a commit", where="source", mend="build from a git checkout", ground="supply", records=True)
def no_checkout(world: World) -> None:
    """Nobody could say what was built."""
    world.file("source/Dockerfile", "FROM scratch\nCOPY . /\n")
    _build(world, world.folder / "source")


@row(what="/no/such/buildx", where="can't be run", mend="install buildx", ground="supply", records=True)
def builder_missing(world: World) -> None:
    """There is no buildx."""
    _build(world, world.parts.supply.source(f"builder-{world.place.namespace}"))
    world.profile["build"]["buildx"] = ["/no/such/buildx"]


@row(
    what="cosign verify says no: no signatures found",
    where="{image} is not signed by key",
    mend="deploy an image that your own build signed",
    ground="supply",
    status=1,
)
def unsigned_image(world: World) -> None:
    """Nobody has signed the image."""
    _verify(world, _pushed(world.parts, "unsigned"))


@row(
    what="cosign verify says no: no matching attestations",
    where="{image} is not signed by key",
    mend="deploy an image that your own build signed",
    ground="supply",
    status=1,
)
def foreign_signature(world: World) -> None:
    """Somebody else has signed it."""
    pinned = _pushed(world.parts, "foreign")
    _let(lambda: world.parts.bench.signer(world.parts.theirs).sign(pinned))
    _verify(world, pinned)


@row(
    what="there is none for",
    where="the provenance of {image}",
    mend="buildx build --provenance=true",
    ground="supply",
    status=1,
)
def image_without_provenance(world: World) -> None:
    """It is signed, and nobody knows how it was built."""
    pinned = _pushed(world.parts, "without-provenance")
    world.parts.bench.signer().sign(pinned)
    _verify(world, pinned)


@row(
    what="cosign verify: no answer",
    where=f"dial tcp {NOBODY}: connect: connection refused",
    mend="check the network and the address of the registry",
    ground="supply",
)
def registry_down(world: World) -> None:
    """No answer is no signature."""
    _verify(world, f"{NOBODY}/checkout-api@{world.words['digest']}")


@row(what="is cosign 3.0.5: before 3.0.6", where="{folder}/programs/cosign", mend="tools.cosign", ground="supply")
def cosign_with_known_holes(world: World) -> None:
    """A verifier that could be talked into a yes."""
    _verify(world, _pushed(world.parts, "unsigned"))
    world.profile["tools"]["cosign"] = world.program("cosign", """echo '{"gitVersion": "v3.0.5"}'""")


@row(what="the registry has no", where="@{old} any more", mend="retention", ground="gone")
def known_good_image_gone(world: World) -> None:
    """What a rollback would start can't be pulled any more."""
    _trust(world)
    world.use(_pushed(world.parts, "unsigned"))


@row(what="has no record of a release candidate", where="{image}", mend=ANEW, ground="supply")
def no_record(world: World) -> None:
    """No release candidate was made of this image."""
    _believe(world, "no-record")


@row(what="has 1 record, none signed by key", where="{image}", mend="sign.public_key", ground="supply", status=1)
def foreign_record(world: World) -> None:
    """Somebody else says that it has passed."""
    record = _believe(world, "foreign-record")
    _let(lambda: world.parts.bench.records(world.parts.theirs).attach(record.pinned, record))


@row(what="it is too old: its oldest check was", where=NO_EVIDENCE, mend=ANEW, ground="supply")
def old_record(world: World) -> None:
    """The candidate has passed the day before yesterday."""
    record = _believe(world, "old-record")
    ago = timedelta(hours=30)
    _attach(world, replace(record, checks=tuple(replace(each, at=each.at - ago) for each in record.checks)))


@row(what="it is of another commit: ffffffff", where=NO_EVIDENCE, mend=ANEW, ground="supply")
def record_of_another_commit(world: World) -> None:
    """What has passed is not what is checked out."""
    _attach(world, replace(_believe(world, "other-commit"), commit="f" * 40))


@row(what="it is of another chart and values", where=NO_EVIDENCE, mend=ANEW, ground="supply")
def record_of_other_values(world: World) -> None:
    """A setting was changed since: that alone can break a release."""
    _attach(world, _believe(world, "other-values"))
    world.profile["values"]["env"] = {"LOG_LEVEL": "debug"}


@row(what="its deploy did not pass: ROLLED BACK", where=NO_EVIDENCE, mend=ANEW, ground="supply")
def record_of_a_failed_staging(world: World) -> None:
    """The candidate has failed in staging."""
    _attach(world, replace(_believe(world, "failed-staging"), outcome="ROLLED BACK"))


@row(
    what="staging can't be skipped",
    where="prod.feature:1: nothing runs anywhere else before prod",
    mend="correct this",
    contacted=False,
)
def staging_skipped(world: World) -> None:
    """The feature has no staging, and there is no record of one."""
    _with_staging(world)


@row(
    what="CrashLoopBackOff: back-off",
    where="staging: pod checkout-api-",
    mend="kubectl --context sandbox-staging",
    status=1,
    records=True,
)
def staging_failed(world: World) -> None:
    """The image does not run in staging; production is not touched."""
    _with_staging(world)
    values = {"replicaCount": 2, "podAnnotations": {"sandbox.pytest-deploy.dev/crash": "true"}}
    world.profile["environments"]["staging"]["values_file"] = "values-crash.yaml"
    world.file("values-crash.yaml", yaml.safe_dump(values))
    world.steps += STAGED


@row(
    what="/healthz: 500",
    where="the smoke test of http://127.0.0.1:9",
    mend="run it here by hand: scripts/smoke.sh http://127.0.0.1:9",
    status=1,
    records=True,
)
def smoke_test_failed(world: World) -> None:
    """The image runs in staging, and does not answer as it should."""
    _with_staging(world)
    world.file("scripts/smoke.sh", '#!/bin/sh\necho "GET $1/healthz: 500"\nexit 1\n').chmod(0o755)
    world.profile["smoke"] = {"script": "scripts/smoke.sh", "within_s": 1}
    world.profile["environments"]["staging"]["base_url"] = f"http://{NOBODY}"
    world.steps += (*STAGED, "Then the smoke test passes")


def _with_staging(world: World) -> None:
    with_staging(world.place, world.profile)


def _trust(world: World) -> None:
    world.file("cosign.pub", world.parts.ours.public.read_text())
    world.profile["sign"] = {"public_key": "cosign.pub", "transparency_log": False}
    world.profile["tools"]["cosign"] = world.parts.supply.programs["cosign"]


def _verify(world: World, pinned: str) -> None:
    _trust(world)
    world.use(pinned)
    world.steps.append(VERIFIED)


def _build(world: World, folder: Path) -> None:
    rig = world.parts.supply
    world.env |= {key: value for key, value in rig.env.items() if key not in {"PATH", "HOME"}}
    world.profile["image"] = world.parts.bench.repository
    world.profile["build"] = {"context": str(folder), "buildx": [rig.programs["buildx"]], "sbom_generator": rig.scanner}
    world.steps.append(BUILT)


def _believe(world: World, name: str) -> Record:
    """Let the deploy look for a record of a new image, and return one that would hold."""
    _verify(world, _pushed(world.parts, name))
    world.profile["record"] = {}
    world.steps[:] = [BELIEVED]
    git = world.parts.supply.run
    git("git", "init", "-q", "-b", "main", cwd=world.folder)
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    git("git", *who, "commit", "-qm", "first", "--allow-empty", cwd=world.folder)
    now = datetime.now(UTC)
    staged = Check(name=STAGING, subject="staging", status="passed", words="2 pods ready", at=now)
    image, _, digest = world.words["image"].partition("@")
    return Record(
        kind=RecordKind.CANDIDATE,
        deploy_id="candidate",
        service=SERVICE,
        environment="staging",
        image=image,
        digest=Digest(digest),
        commit=world.parts.supply.commit(world.folder),
        chart=_chart(world),
        outcome="passed",
        checks=(staged,),
        began=now,
        ended=now,
    )


def _chart(world: World) -> str:
    """Return the hash of chart and values, as deploy.yaml gives them now."""
    path = world.file("deploy.yaml", yaml.safe_dump(world.profile, sort_keys=False))
    return chart_hash(load(path))


def _attach(world: World, record: Record) -> None:
    """Attach it, signed by ours."""
    world.parts.bench.records().attach(record.pinned, record)


@cache
def _pushed(parts: Parts, name: str) -> str:
    """Build an image of this name once, without provenance and SBOM, and return it pinned."""
    return parts.bench.plain("--provenance=false", folder=parts.supply.source(name))


def _let(act: Callable[[], object]) -> None:
    """Sign with a key that is not trusted: what signs says itself that nobody will believe it."""
    with suppress(DeployError, GateBreach):
        act()
