"""Stop where we don't belong: what runs elsewhere, or is kept by GitOps or kubectl, is never installed by Helm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_deploy.domain.release import Environment
from pytest_deploy.domain.stack import Sign, SignKind
from pytest_deploy.engine.deploy import Deploy
from pytest_deploy.errors import Refused

__all__ = ["check", "check_files"]


_ASKED = "other stacks"


def check(deploy: Deploy) -> None:
    """Check that the service is one that this deploy may install, in every environment that it goes through.

    Asked again, it does nothing. Live objects count; files alone count where they stand beside deploy.yaml and name
    another platform, or where nothing is installed yet.

    Raises:
        Refused: it is not; with what to use instead, or with what to commit and to watch.
    """
    if _ASKED in deploy.checked:
        return
    deploy.checked.add(_ASKED)
    named = [name for name in deploy.installs if name in deploy.release.environments]
    names = list(dict.fromkeys([*named, deploy.environment.name]))
    found, hints = [], []
    for text, hint in _refusals(deploy, [deploy.release.environments[name] for name in names]):
        found.append(text)
        hints.append(hint)
    if found:
        raise Refused("; ".join(found), hint="; ".join(dict.fromkeys(hints)), cause="another stack")


def check_files(files: Sequence[Sign]) -> None:
    """Check what the files alone tell, before there is anything to contact.

    Raises:
        Refused: the service runs on another platform.
    """
    found = [sign for sign in files if sign.kind is SignKind.SERVERLESS and sign.near]
    if found:
        hints = dict.fromkeys(_instead(sign) for sign in found)
        raise Refused("; ".join(map(_elsewhere, found)), hint="; ".join(hints), cause="another stack")


def _elsewhere(sign: Sign) -> str:
    return f"{sign.where}: that is {sign.tool}, which this deploy can't drive"


def _instead(sign: Sign) -> str:
    return f"use {sign.instead}; if it is another service's, move deploy.yaml into the folder of its own service"


def _refusals(deploy: Deploy, environments: list[Environment]) -> Iterator[tuple[str, str]]:
    stack, gitops = deploy.ports.stack, deploy.ports.gitops
    covered = {env.name for env in environments if gitops is not None and gitops.covers(env.name)}
    for name in sorted(covered):
        yield (
            f"deploy.yaml gives {name!r} to GitOps (gitops.environments.{name}): Helm installs nothing there",
            _to(name),
        )
    if stack is None:
        return
    files = stack.files()
    elsewhere = [sign for sign in files if sign.kind is SignKind.SERVERLESS]
    for sign in elsewhere:
        if sign.near:
            yield _elsewhere(sign), _instead(sign)
        else:
            deploy.warn(f"{_elsewhere(sign)}; it is in a folder below deploy.yaml: taken for another service's")
    if any(sign.near for sign in elsewhere):
        return
    keepers = [sign for sign in files if sign.kind is not SignKind.SERVERLESS]
    for env in environments:
        if env.name not in covered:
            yield from _of_environment(deploy, env, keepers, stack.live(env))


def _of_environment(
    deploy: Deploy, env: Environment, files: list[Sign], live: tuple[Sign, ...] | None
) -> Iterator[tuple[str, str]]:
    """What the live objects tell; the files are heard where there are none yet, and else only told."""
    for sign in live or ():
        if sign.kind is SignKind.GITOPS:
            yield (
                f"{sign.tool} keeps {env.name} as it is in git ({sign.where}): it would take back what Helm installs",
                f"{_to(env.name)}, then watch: {sign.instead}",
            )
        elif env.release is not None:
            mend = (
                f"set environments.{env.name}.release: null so that only the image is patched, or install it by Helm "
                "once, with --take-ownership (Helm 3.17 and later)"
            )
            yield (
                f"{env.name} is kept by {sign.tool} ({sign.where}): Helm's release {env.release} can't take it over",
                mend,
            )
        else:
            deploy.warn(f"{env.name}: {sign.tool} keeps it ({sign.where}): its next apply brings its own image back")
    for sign in files if live is None else ():
        if sign.kind is SignKind.GITOPS:
            yield (
                f"nothing is installed in {env.name} yet, and {sign.where} says that {sign.tool} will do it",
                _to(env.name),
            )
    for sign in files if live == () else ():
        if sign.kind is SignKind.GITOPS:
            deploy.warn(f"{sign.where} speaks of {sign.tool}, but no live object in {env.name} is marked as its own")


def _to(environment: str) -> str:
    return (
        f'commit the digest instead: features/{environment}_gitops.feature with the step "the digest is committed to '
        f'the environment repository of "{environment}"", and a gitops section in deploy.yaml (pytest-deploy init)'
    )
