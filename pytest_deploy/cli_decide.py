"""``pytest-deploy decide`` and ``status``: what is open, and a person's answer to a gate that is held."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pytest_deploy.io.kube import Connection
    from pytest_deploy.open_deploys import Found, OpenDeploy

from pytest_deploy.errors import DeployError, Refused

__all__ = ["decide", "status"]

_REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_HELP = {"help_option_names": ["-h", "--help"]}
_CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), help="deploy.yaml; default: looked up from here upwards."
)
_ENVIRONMENT = click.option("--environment", metavar="NAME", help="Of deploy.yaml; default: all are looked at.")
_SANDBOX = click.option("--sandbox", "in_sandbox", is_flag=True, help="Look at the local real stack.")


@click.command(
    context_settings=_HELP,
    epilog='Example: pytest-deploy decide promote --reason "p95 is the load test of team B, seen in Grafana"',
)
@click.argument("answer", type=click.Choice(["promote", "abort"]))
@click.option("--reason", default="", metavar="TEXT", help="Why; stands in the journal and in the note. Needed.")
@click.option("--by", "name", default="", metavar="NAME", help="Your name; default: GITHUB_ACTOR, else USER.")
@click.option("--deploy", "deploy_id", metavar="ID", help="Which deploy, where several are held.")
@_CONFIG
@_ENVIRONMENT
@_SANDBOX
@click.option(
    "--reports",
    default=Path("reports"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Looked at where the cluster knows of no held deploy.",
)
def decide(
    answer: str,
    reason: str,
    name: str,
    deploy_id: str | None,
    config: Path | None,
    environment: str | None,
    in_sandbox: bool,
    reports: Path,
) -> None:
    """Answer a gate that is held: promote goes on as if it had passed, abort takes the deploy back.

    The deploy is found through the journal beside its workload, so this works on every machine with access; the
    run itself sees the answer within seconds. Exit status 4: nothing is held, or the answer comes too late.
    """
    from pytest_deploy import open_deploys
    from pytest_deploy.domain.policy import Answer, Decision
    from pytest_deploy.io import person
    from pytest_deploy.io.clock import SystemClock
    from pytest_deploy.io.kube import KubeApi

    reason = _one_line("--reason", reason)
    if not reason:
        raise Refused("a decision needs a reason", hint='add --reason "what you saw, and where"')
    clock = SystemClock()
    release = open_deploys.release_of(config, in_sandbox=in_sandbox)
    unread: DeployError | None = None
    found = open_deploys.Found(deploys=(), last={}, problems=())
    try:
        found = open_deploys.in_cluster(KubeApi(clock=clock), release, environment)
    except DeployError as error:
        unread = error
    held = [each for each in found.deploys if each.hold is not None]
    if not held:
        held = [each for each in open_deploys.in_reports(reports) if each.hold is not None]
        if unread is not None and not held:
            raise unread
    now = clock.now()
    deploy = _chosen(held, deploy_id, found, now)
    hold = deploy.hold
    if hold is None:
        raise AssertionError  # only held ones can be chosen
    by = _by(deploy.connection, _one_line("--by", name) or person.name(os.environ))
    decision = Decision(hold=hold.seq, answer=Answer(answer), by=by, reason=reason, at=now)
    try:
        deploy.journal.decide(decision)
    except Refused as error:
        raise Refused(f"{error.args[0]}\n{_held_words(deploy, now)}", hint="pytest-deploy status") from error
    click.echo(f"{answer}: deploy {deploy.deploy_id}, decided by {by}")
    click.echo(_held_words(deploy, now))
    click.echo("the run sees it within seconds")


@click.command(context_settings=_HELP, epilog="Example: pytest-deploy status --environment prod --json")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@_CONFIG
@_ENVIRONMENT
@_SANDBOX
def status(as_json: bool, config: Path | None, environment: str | None, in_sandbox: bool) -> None:
    """Show which deploys are open: since when, by whom, at which weight, whether anybody runs them, what waits.

    Of each is said what its journal tells of its state, and what `pytest-deploy recover` does with it. Exit status 0,
    whatever is open.
    """
    from pytest_deploy import open_deploys
    from pytest_deploy.io.clock import SystemClock
    from pytest_deploy.io.kube import KubeApi

    clock = SystemClock()
    release = open_deploys.release_of(config, in_sandbox=in_sandbox)
    found = open_deploys.in_cluster(KubeApi(clock=clock), release, environment)
    if as_json:
        click.echo(json.dumps(_to_json(found), indent=2))
        return
    for deploy in found.deploys:
        click.echo(_open_words(deploy, clock.now()))
    for name, last in found.last.items():
        if name not in {deploy.environment for deploy in found.deploys}:
            ended = f"; the last deploy, {last['deploy_id']}, ended {last['ended']}: {last['words']}" if last else ""
            click.echo(f"{release.service} in {name}: nothing is open{ended}")
    for problem in found.problems:
        click.echo(f"not known: {problem}", err=True)


def _one_line(option: str, text: str) -> str:
    """Return a text as one line that can stand in a note."""
    line = " ".join(text.split())
    if not line.isprintable():
        raise Refused(f"{option}: {line!r} has characters that can't be printed")
    return line


def _chosen(held: Sequence[OpenDeploy], deploy_id: str | None, found: Found, now: datetime) -> OpenDeploy:
    """Return the one deploy that is meant; one whose deadline has passed only where no other waits.

    Raises:
        Refused: none is held, or several are; with what is.
    """
    asked = [each for each in held if deploy_id in {None, each.deploy_id}]
    fitting = [each for each in asked if each.hold is not None and each.hold.deadline > now] or asked
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(f"{each.deploy_id} in {each.where}" for each in fitting or held)
    if fitting:
        raise Refused(f"{len(fitting)} deploys are held: {names}", hint="add --deploy ID")
    if held:
        raise Refused(f"no gate of deploy {deploy_id} is held; held is {names}", hint="correct --deploy")
    known = [
        f"deploy {each.deploy_id} is open in {each.where} since {_time(each.entries[0].at)}, and waits for nobody"
        for each in found.deploys
    ]
    known += [f"not known: {problem.args[0]}" for problem in found.problems]
    raise Refused(f"no gate is held: {'; '.join(known) or 'no deploy is open'}", hint="pytest-deploy status")


def _by(connection: Connection | None, name: str) -> str:
    """Return who decides: the account as the API server knows it, and what they call themselves."""
    account = ""
    if connection is not None:
        try:
            review = connection.ask(_REVIEW, {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
        except DeployError as error:  # before Kubernetes 1.28 there is no such review
            click.echo(f"the API server does not say who you are: {error}", err=True)
        else:
            status = review.body.get("status")
            info = status.get("userInfo") if isinstance(status, dict) else None
            account = str(info.get("username") or "") if isinstance(info, dict) else ""
    if not account and not name:
        raise Refused("nothing says who decides", hint="add --by NAME")
    return f"{account} ({name})" if account and name and account != name else account or name


def _held_words(deploy: OpenDeploy, now: datetime) -> str:
    hold = deploy.hold
    if hold is None:
        return "  no gate is held"
    left = hold.deadline - now
    time = f"{_span(left)} left" if left > timedelta() else "it has passed"
    weight = "" if deploy.rollout is None else f", at weight {deploy.rollout.weight_percent:.0f} %"
    return (
        f"  held      since {_time(hold.since)} in {deploy.where}{weight}\n"
        f"  gate      {hold.sentence}\n"
        f"  deadline  {_time(hold.deadline)} ({time}); without a decision it is rolled back"
    )


def _open_words(deploy: OpenDeploy, now: datetime) -> str:
    first, last = deploy.entries[0], deploy.entries[-1]
    rollout = "not known" if deploy.rollout is None else deploy.rollout.words
    lines = [
        f"deploy {deploy.deploy_id} is open in {deploy.where}",
        f"  since     {_time(first.at)} ({_span(now - first.at)}), by {deploy.by or 'nobody known'}",
        f"  state     {deploy.state}; last in its journal: {_what(deploy)}, {_span(now - last.at)} ago",
        f"  rollout   {rollout}",
        f"  lock      {_lock(deploy)}",
        f"  recover   {_recovery(deploy)}",
    ]
    if deploy.hold is not None:
        lines.append(_held_words(deploy, now))
        lines.append(f"  decided   {deploy.decided.words}" if deploy.decided else f"  decide    {_command(deploy)}")
    return "\n".join(lines)


def _what(deploy: OpenDeploy) -> str:
    last = deploy.entries[-1]
    words = str(last.milestone or last.state)
    return f"{words}: {last.action.summary}" if last.action is not None else words


def _lock(deploy: OpenDeploy) -> str:
    holder = deploy.holder
    if holder is None:
        return "nobody holds it, or it can't be read"
    if holder.deploy_id != deploy.deploy_id:
        return f"held by another: {holder.words}"
    return f"its own, renewed {_time(holder.renewed)}: " + (
        "expired, nobody runs it any more" if holder.expired else "its process is alive"
    )


def _recovery(deploy: OpenDeploy) -> str:
    if deploy.lives:
        return f"is refused while it is run; once its process is gone: {deploy.move}"
    return f"pytest-deploy recover --deploy {deploy.deploy_id}: {deploy.move}"


def _command(deploy: OpenDeploy) -> str:
    return f'pytest-deploy decide promote --deploy {deploy.deploy_id} --reason "..." (or: decide abort)'


def _to_json(found: Found) -> dict[str, object]:
    return {
        "open": [_deploy_json(deploy) for deploy in found.deploys],
        "last": {name: dict(last) or None for name, last in found.last.items()},
        "problems": [str(problem) for problem in found.problems],
    }


def _deploy_json(deploy: OpenDeploy) -> dict[str, object]:
    hold, rollout = deploy.hold, deploy.rollout
    waits = None
    if hold is not None:
        waits = {
            "hold": hold.seq,
            "since": hold.since.isoformat(),
            "gate": hold.sentence,
            "deadline": hold.deadline.isoformat(),
            "decided": deploy.decided.words if deploy.decided else None,
            "command": _command(deploy),
        }
    return {
        "deploy_id": deploy.deploy_id,
        "environment": deploy.environment,
        "by": deploy.by,
        "since": deploy.entries[0].at.isoformat(),
        "state": deploy.state,
        "journal": _what(deploy),
        "journal_at": deploy.entries[-1].at.isoformat(),
        "weight_percent": None if rollout is None else rollout.weight_percent,
        "rollout": None if rollout is None else rollout.words,
        "lock": None if deploy.holder is None else deploy.holder.words,
        "alive": deploy.lives,
        "recover": deploy.move,
        "held": waits,
    }


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _span(span: timedelta) -> str:
    seconds = max(0, int(span.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h {seconds % 3600 // 60} min"
