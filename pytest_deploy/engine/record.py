"""Evidence that outlives its deploy: records signed and attached to the image, found again, and believed or not."""

from __future__ import annotations

from collections.abc import Callable

from pytest_deploy.domain.action import External
from pytest_deploy.domain.found import Found
from pytest_deploy.domain.outcome import Mode
from pytest_deploy.domain.quantity import format_duration
from pytest_deploy.domain.record import LASTING, STAGING, Check, Record, RecordKind, problems
from pytest_deploy.domain.verdict import VerdictKind
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.errors import DeployError, GateBreach, Refused, blamed_on
from pytest_deploy.ports import CAPABILITIES, Records

__all__ = ["at_end", "attach", "once", "require", "staged"]

_NEXT = "pytest features/release_candidate.feature, for this commit and this image"


def require(deploy: Deploy) -> None:
    """Find the newest record of a release candidate of this image, and let it stand for build, checks and staging.

    Off without the section ``record``.

    Raises:
        Refused: there is none, or it does not hold: another commit or chart, too old, of a staging that failed.
        GateBreach: none is signed by who may.
        DeployError: there is no answer, which is never taken for a yes.
    """
    if deploy.ports.records is None:
        deploy.switched_off("record", CAPABILITIES["record"])
        return
    with blamed_on("record"):
        candidate = _newest(deploy)
        if candidate is None:
            raise Refused(
                f"{deploy.image.pinned} has no record of a release candidate", hint=f"make one: {_NEXT}", cause="record"
            )
        if wrong := _wrong(deploy, candidate):
            lines = "".join(f"\n  {line}" for line in wrong)
            raise Refused(
                f"the {candidate.words} is no evidence for {deploy.image.pinned}:{lines}",
                hint=f"make a new one: {_NEXT}",
                cause="record",
            )
    _believe(deploy, candidate)
    off = [check.name for check in candidate.checks if check.status == "off"]
    for name in off:
        deploy.warn(f"the release candidate had {name!r} off")
    passed = ", ".join(dict.fromkeys(check.name for check in candidate.checks if check.status == "passed"))
    deploy.found(f"{candidate.words}, signed: {passed} passed")


def once(deploy: Deploy, name: str, subject: str, act: Callable[[], None]) -> None:
    """Do this check, unless a signed record says that it has passed for the same image, source and chart.

    The record is looked for once a deploy, as soon as the digest is known. Without one, or with one that does not
    hold, the work is done here, and what was wrong is said.

    Args:
        name: see ``domain.record.Check``; so is ``subject``.
        act: raises where it does not pass.
    """
    if name in LASTING and _accepted(deploy, name, subject):
        return
    try:
        act()
    except (DeployError, GateBreach) as error:
        deploy.note(name, subject, "failed", str(error).partition("\n")[0])
        raise
    if deploy.step_status != "off":
        deploy.done(name, subject)


def _accepted(deploy: Deploy, name: str, subject: str) -> bool:
    if deploy.candidate is None and not deploy.looked_for_record and deploy.digest is not None:
        _look(deploy)
    check = deploy.candidate.passed(name, subject) if deploy.candidate is not None else None
    if check is None or deploy.candidate is None:
        return False
    age = format_duration(deploy.ports.clock.now() - check.at)
    deploy.checks[name, subject] = check
    deploy.found(f"passed {age} ago in {deploy.candidate.deploy_id}, by its signed record: {check.words}")
    return True


def attach(deploy: Deploy) -> None:
    """Sign what this deploy has done so far, and attach it to the image; off without the section ``record``.

    Raises:
        Refused: the release was not seen running in staging: such a record would never count.
        DeployError: it is not there then.
    """
    records = deploy.ports.records
    if records is None:
        deploy.switched_off("record", CAPABILITIES["record"])
        return
    if deploy.candidate is not None and all(check in deploy.candidate.checks for check in deploy.checks.values()):
        deploy.found(f"nothing new: the {deploy.candidate.words} stands")
        return
    record = _record(deploy, RecordKind.CANDIDATE, "passed")
    if record.passed(STAGING) is None:
        raise Refused(
            f"{record.pinned}: no staging has passed, so its record would never count",
            hint="let it stand after: Then every pod runs the pinned digest within 5 minutes",
            cause="record",
        )
    with blamed_on("record"):
        deploy.found_all(_attached(deploy, records, record))


def staged(deploy: Deploy) -> None:
    """Check, before production is first written to, that this image was seen running somewhere else.

    A change of configuration alone is no exception. Rehearsal and sandbox have no production; where deploy.yaml has
    one environment alone, nowhere else could it run, and that is said.

    Raises:
        Refused: it was not, neither by this deploy nor by a release candidate's record.
    """
    if deploy.mode is not Mode.REAL or deploy.environment.name == STAGING:
        return
    if len(deploy.release.environments) == 1:
        deploy.warn(f"deploy.yaml has no environment but {deploy.environment.name}: nothing runs anywhere before it")
        return
    here = any(check.name == STAGING and check.status == "passed" for check in deploy.checks.values())
    believed = deploy.candidate is not None and deploy.candidate.passed(STAGING) is not None
    if not here and not believed:
        raise Refused(
            f"{deploy.image.pinned} was not seen running anywhere else: {deploy.environment.name} would be the first",
            hint='let these stand before the first weight: When the release is installed on "staging", Then every pod '
            "runs the pinned digest within 5 minutes; or: Given the release candidate's record is verified",
            cause="staging",
        )


def at_end(deploy: Deploy, outcome: str) -> None:
    """Attach what became of the deploy; a registry that is down changes no outcome, and is said.

    A staging that failed leaves a record, too: an older one of the same image does not count any more. Of a deploy to
    production all is told: approval, verdicts, rollback.
    """
    records = deploy.ports.records
    if records is None or deploy.digest is None or not deploy.tx.opened or deploy.drill:
        return
    failed = any(check.status == "failed" and check.name in LASTING for check in deploy.checks.values())
    wanted = [RecordKind.CANDIDATE] if failed else []
    wanted += [RecordKind.DEPLOY] if deploy.stages else []
    for kind in wanted:
        try:
            _attached(deploy, records, _record(deploy, kind, outcome))
        except (DeployError, GateBreach) as error:
            deploy.warn(f"no record of this deploy is attached to the image: {error}")


def _look(deploy: Deploy) -> None:
    deploy.looked_for_record = True
    try:
        candidate = _newest(deploy)
    except (DeployError, GateBreach) as error:
        deploy.warn(f"no record is taken as evidence, all is done here: {error}")
        return
    if candidate is None:
        return
    if wrong := _wrong(deploy, candidate):
        deploy.warn(f"the {candidate.words} is no evidence, all is done here: {'; '.join(wrong)}")
        return
    _believe(deploy, candidate)


def _newest(deploy: Deploy) -> Record | None:
    deploy.looked_for_record = True
    if deploy.ports.records is None:
        return None
    found = deploy.ports.records.find(deploy.image.pinned)
    return max((each for each in found if each.kind is RecordKind.CANDIDATE), key=lambda r: r.ended, default=None)


def _wrong(deploy: Deploy, candidate: Record) -> tuple[str, ...]:
    wanted = _record(deploy, RecordKind.CANDIDATE, "passed")
    return tuple(problems(candidate, wanted, max_age=deploy.record_age))


def _believe(deploy: Deploy, candidate: Record) -> None:
    deploy.candidate = candidate
    deploy.fact("candidate", candidate.words)


def _attached(deploy: Deploy, records: Records, record: Record) -> Found:
    kept: list[Found] = []

    def act() -> str:
        kept.append(records.attach(record.pinned, record))
        return kept[-1].words

    action = External(system="registry", summary=f"attach the record of {record.deploy_id} to {record.pinned}")
    deploy.tx.do(action, undo=None, act=act)
    return kept[-1]


def _record(deploy: Deploy, kind: RecordKind, outcome: str) -> Record:
    checks = (*deploy.checks.values(), *(_verdicts(deploy) if kind is RecordKind.DEPLOY else ()))
    now = deploy.ports.clock.now()
    return Record(
        kind=kind,
        deploy_id=deploy.id,
        service=deploy.release.service,
        environment=deploy.environment.name,
        image=deploy.release.image.repository,
        digest=deploy.required_digest,
        commit=deploy.commit,
        chart=deploy.chart_hash,
        outcome=outcome,
        checks=checks,
        began=deploy.began,
        ended=now,
    )


def _verdicts(deploy: Deploy) -> tuple[Check, ...]:
    found = [
        Check(
            name="gate",
            subject=f"{verdict.objective.name} {verdict.where}",
            status="passed" if gate in deploy.overrides or verdict.kind is VerdictKind.PASS else "failed",
            words=verdict.sentence if gate not in deploy.overrides else deploy.overrides[gate].words,
            at=verdict.decided,
        )
        for gate, verdict in deploy.verdicts.items()
        if verdict is not None
    ]
    if deploy.rolled_back or deploy.rollback_error is not None:
        error = deploy.rollback_error
        words = "verified" if error is None else str(error)
        status = "passed" if error is None else "failed"
        at = deploy.ports.clock.now()
        found.append(Check(name="rollback", subject=deploy.environment.name, status=status, words=words, at=at))
    return tuple(found)
