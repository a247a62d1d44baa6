"""What deploy.yaml says of build, signature and records, as ports."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pytest_deploy.errors import ConfigError, Refused, ToolMissing

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_deploy.config.model import DeployConfig
    from pytest_deploy.config.secrets import Secrets
    from pytest_deploy.config.supply_sections import SignSection
    from pytest_deploy.io.cosign import Cosign, Trust
    from pytest_deploy.ports import Builder, Clock, Records, Signer

    Program = Callable[[str], str]

__all__ = ["builder", "records", "signer", "trusted_records", "verifier"]

_REGISTRY = timedelta(seconds=30)


def builder(config: DeployConfig, clock: Clock) -> Builder | None:
    """Return what builds the image; None where deploy.yaml has no section ``build``."""
    section = config.build
    if section is None:
        return None
    context = section.context or config.folder
    from pytest_deploy.adapters.buildx import Buildx
    from pytest_deploy.adapters.registry import Registry
    from pytest_deploy.io.source import read_source

    return Buildx(
        source=lambda: read_source(context),
        digest_of=Registry(clock=clock, timeout=_REGISTRY).digest,
        context=context,
        program=section.buildx,
        dockerfile=section.dockerfile,
        platform=section.platform,
        builder=section.builder,
        url=section.source,
        args=section.args,
        secrets=section.secrets,
        sbom_generator=section.sbom_generator,
        allow_dirty=section.allow_dirty,
        timeout=section.timeout,
    )


def signer(config: DeployConfig, clock: Clock, secrets: Secrets, program: Program = str) -> Signer | None:
    """Return what signs and verifies images; None where deploy.yaml has no section ``sign``.

    Args:
        program: returns where a program is that deploy.yaml calls by its name alone.

    Raises:
        ConfigError: a secret that is named is not there.
    """
    if config.sign is None:
        return None
    return _signer(config.sign, _cosign(config.sign, secrets, program(config.tools.cosign)), clock, _commit(config))


def verifier(config: DeployConfig, clock: Clock) -> Signer | None:
    """Return the same for who only looks: without the key, and at images of any commit."""
    if config.sign is None:
        return None
    from pytest_deploy.io.cosign import Cosign

    return _signer(config.sign, Cosign(binary=config.tools.cosign), clock, None)


def records(config: DeployConfig, secrets: Secrets, program: Program = str) -> Records | None:
    """Return what keeps records with the image; None where deploy.yaml has no section ``record``.

    Args:
        program: as for ``signer``.

    Raises:
        ConfigError: there is no section ``sign``, or a secret that is named is not there.
    """
    if config.record is None:
        return None
    section = _vouching(config)
    return _records(section, _cosign(section, secrets, program(config.tools.cosign)))


def trusted_records(config: DeployConfig) -> Records | None:
    """Return the same for who only looks, without the key; raises ConfigError where there is no section ``sign``."""
    if config.record is None:
        return None
    from pytest_deploy.io.cosign import Cosign

    return _records(_vouching(config), Cosign(binary=config.tools.cosign))


def _records(section: SignSection, cosign: Cosign) -> Records:
    from pytest_deploy.adapters.records import AttestedRecords

    return AttestedRecords(cosign, trust=_trust(section))


def _vouching(config: DeployConfig) -> SignSection:
    if config.sign is None:
        place = config.place("record")
        raise ConfigError([f"{place}: a record is signed: write the section sign, which says by whom"])
    return config.sign


def _signer(section: SignSection, cosign: Cosign, clock: Clock, commit: str | None) -> Signer:
    from pytest_deploy.adapters.cosign import CosignSigner
    from pytest_deploy.adapters.registry import Registry

    return CosignSigner(
        cosign,
        trust=_trust(section),
        content=Registry(clock=clock, timeout=_REGISTRY),
        commit=commit,
        builder=section.builder,
        provenance=section.provenance,
        sbom=section.sbom,
    )


def _trust(section: SignSection) -> Trust:
    from pytest_deploy.io.cosign import Trust

    return Trust(
        key=section.trusted_key,
        identity=section.identity,
        issuer=section.issuer,
        trusted_root=section.trusted_root,
        log=section.transparency_log,
    )


def _cosign(section: SignSection, secrets: Secrets, binary: str) -> Cosign:
    from pytest_deploy.io.cosign import Cosign

    return Cosign(
        binary=binary,
        key=None if section.key is None else secrets(section.key),
        password="" if section.password is None else secrets(section.password),
        signing_config=section.signing_config,
        trusted_root=section.trusted_root,
        log=section.transparency_log,
    )


def _commit(config: DeployConfig) -> str | None:
    """Return the commit that signature and provenance must name; None for an image that is given by its digest.

    What is built here is of what is checked out here; of another one its signed record says the commit.
    """
    from pytest_deploy.domain.release import ImageRef
    from pytest_deploy.io.source import read_source

    if config.build is None or ImageRef.parse(config.image).digest is not None:
        return None
    try:
        return read_source(config.build.context or config.folder).commit
    except (Refused, ToolMissing):
        return None
