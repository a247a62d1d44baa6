"""The tools around a deploy that deploy.yaml switches on, as ports; what has no section is off."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_deploy import providers
from pytest_deploy.errors import ConfigError

if TYPE_CHECKING:
    from pytest_deploy.config.approval_section import ApprovalFileSection, ApprovalSection
    from pytest_deploy.config.model import DeployConfig
    from pytest_deploy.config.secrets import Secrets
    from pytest_deploy.domain.release import Release
    from pytest_deploy.io.kube import KubeApi
    from pytest_deploy.ports import Approvals, Capability, Clock, GitOps, Images, Metrics, Ports

__all__ = ["Around", "added"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What the tools are made from.

    Args:
        release: as this world sees it.
        touched: the environments that the deploy may reach for.
        reports: the deploy's folder.
        secrets: looks up what a section names.
        helm: the binary.
        program: returns where a program is that deploy.yaml calls by its name alone.
    """

    config: DeployConfig
    release: Release
    touched: Sequence[str]
    reports: Path
    environ: Mapping[str, str]
    clock: Clock
    secrets: Secrets
    api: KubeApi
    helm: str
    program: Callable[[str], str] = str


def added(ports: Ports, around: Around) -> Ports:
    """Return the ports with all tools that deploy.yaml has a section for; nothing is contacted.

    Raises:
        ConfigError: a secret that is named is not there, or a section lacks what only the job could tell.
    """
    from pytest_deploy import supply_chain
    from pytest_deploy.adapters.stack import ServiceStack

    config, clock, secrets = around.config, around.clock, around.secrets
    return replace(
        ports,
        builder=supply_chain.builder(config, clock),
        signer=supply_chain.signer(config, clock, secrets, around.program),
        records=supply_chain.records(config, secrets, around.program),
        images=_images(around),
        capabilities=_capabilities(around, ports.metrics),
        approvals=_approvals(around),
        stack=ServiceStack(around.config.folder, around.api),
        gitops=_gitops(around),
    )


def _images(around: Around) -> Images | None:
    config = around.config
    if config.build is None and config.sign is None and config.record is None:
        return None  # nothing says that this machine may read the registry
    from pytest_deploy.adapters.registry import Registry

    return Registry(clock=around.clock)


def _capabilities(around: Around, metrics: Metrics) -> dict[str, Capability]:
    made: dict[str, Capability | None] = {
        "tests": _tests(around),
        "scan": _scan(around),
        "chart_checks": _chart_checks(around),
        "incidents": _incidents(around, metrics),
        "checklist": _checklist(around),
        "smoke": _smoke(around),
    }
    return {name: capability for name, capability in made.items() if capability is not None}


def _tests(around: Around) -> Capability | None:
    at = around.config.tests
    if at is None:
        return None
    from pytest_deploy.adapters.test_runs import TestRuns

    return TestRuns(around.config.folder, at.commands, junit=at.junit, inherit=at.env, timeout=at.timeout)


def _scan(around: Around) -> Capability | None:
    at = around.config.scan
    if at is None:
        return None
    from pytest_deploy.adapters.trivy import Trivy

    return Trivy(
        around.program(around.config.tools.trivy),
        clock=around.clock,
        ignore_file=at.ignore_file,
        platforms=at.platforms or _built_platforms(around.config),
        db_max_age=at.db_max_age,
        db_repository=at.db_repository,
        cache_folder=at.cache_folder,
        offline=at.offline,
        timeout=at.timeout,
    )


def _built_platforms(config: DeployConfig) -> tuple[str, ...]:
    return tuple(part.strip() for part in config.build.platform.split(",")) if config.build is not None else ()


def _chart_checks(around: Around) -> Capability | None:
    if around.config.chart_checks is None:
        return None
    from pytest_deploy.adapters.chart import ChartChecks

    environments = [around.release.environments[name] for name in dict.fromkeys(around.touched)]
    return ChartChecks(
        around.release,
        environments,
        api=around.api,
        helm=around.helm,
        kubeconform=around.program(around.config.tools.kubeconform),
    )


def _checklist(around: Around) -> Capability | None:
    path = around.config.checklist
    if path is None:
        return None
    from pytest_deploy.adapters.checklist import Checklist

    return Checklist(path, name=os.path.relpath(path, around.config.folder))


def _smoke(around: Around) -> Capability | None:
    at = around.config.smoke
    if at is None:
        return None
    from pytest_deploy.adapters.smoke import Smoke

    return Smoke(
        around.config.folder,
        script=at.script,
        http=[each.check for each in at.http],
        clock=around.clock,
        within=at.within,
        timeout=at.timeout,
        inherit=at.env,
    )


def _incidents(around: Around, metrics: Metrics) -> Capability | None:
    """Return one that asks all that are named; nobody's silence is taken for "none"."""
    section = around.config.incidents
    if section is None:
        return None
    from pytest_deploy.adapters.incidents import Incidents

    asked: dict[str, Capability] = {}
    if section.pagerduty is not None:
        from pytest_deploy.adapters.pagerduty import PagerDuty

        pagerduty = section.pagerduty
        asked["PagerDuty"] = PagerDuty(
            pagerduty.url,
            token=around.secrets(pagerduty.token),
            service_ids=pagerduty.service_ids,
            timeout=timedelta(seconds=pagerduty.timeout_s),
            clock=around.clock,
        )
    if section.opsgenie is not None:
        from pytest_deploy.adapters.opsgenie import Opsgenie

        opsgenie = section.opsgenie
        asked["Opsgenie"] = Opsgenie(
            opsgenie.url,
            api_key=around.secrets(opsgenie.api_key),
            timeout=timedelta(seconds=opsgenie.timeout_s),
            clock=around.clock,
        )
    if section.alertmanager is not None:
        from pytest_deploy.adapters.alertmanager import Alertmanager

        alertmanager = section.alertmanager
        asked["Alertmanager"] = Alertmanager(
            alertmanager.url,
            service_label=alertmanager.service_label,
            timeout=timedelta(seconds=alertmanager.timeout_s),
            clock=around.clock,
            headers=providers.headers(alertmanager, around.secrets),
            ca_file=alertmanager.ca_file,
        )
    if section.prometheus is not None:
        from pytest_deploy.adapters.prometheus import Prometheus

        if not isinstance(metrics, Prometheus):
            place = around.config.place("incidents.prometheus")
            raise ConfigError([f"{place}: metrics is no Prometheus: name alertmanager, or leave it out"])
        asked["Prometheus"] = metrics.firing_alerts(section.prometheus.service_label)
    return Incidents(asked)


def _gitops(around: Around) -> GitOps | None:
    at = around.config.gitops
    if at is None:
        return None
    from pytest_deploy.adapters.gitops import GitRepository

    return GitRepository(
        at.repository,
        branch=at.branch,
        files={name: section.place for name, section in at.environments.items()},
        folder=around.config.folder,
        token=around.secrets(at.token) if at.token is not None else None,
        author=at.author,
        gh=around.program(around.config.tools.gh) if at.pull_request else None,
        clock=around.clock,
    )


def _approvals(around: Around) -> Approvals | None:
    section = around.config.approval
    if section is None:
        return None
    return _github(around, section) if section.file is None else _signed_file(around, section, section.file)


def _github(around: Around, section: ApprovalSection) -> Approvals:
    from pytest_deploy.adapters.github_api import GithubApi
    from pytest_deploy.adapters.github_approval import GithubApprovals, Job
    from pytest_deploy.io.gh import Gh, Repository

    at, config = section.github, around.config
    repository = Repository.parse(at.repository) if at.repository else Repository.of(around.environ)
    if repository is None:
        problem = (
            f"{config.place('approval')}: no GitHub repository is known: give approval.github.repository, owner/name, "
            "or run in a GitHub job (GITHUB_REPOSITORY)"
        )
        raise ConfigError([problem])
    token = around.secrets(at.token) if at.token is not None else None
    gh = Gh(around.program(config.tools.gh), host=repository.host, clock=around.clock, token=token)
    return GithubApprovals(
        GithubApi(gh, repository, around.clock),
        clock=around.clock,
        job=Job.of(around.environ),
        environment=at.environment,
        workflow=at.workflow,
        ref=at.ref,
        wait=section.wait,
        max_age=section.max_age,
    )


def _signed_file(around: Around, section: ApprovalSection, at: ApprovalFileSection) -> Approvals:
    from pytest_deploy.adapters.approval_file import FileApprovals, Signatory
    from pytest_deploy.io import person
    from pytest_deploy.io.cosign import Cosign, Trust

    people = {
        name: Signatory(
            trust=Trust(
                key=str(signer.key) if signer.key is not None else signer.kms,
                identity=signer.identity,
                issuer=signer.issuer,
                trusted_root=at.trusted_root,
                log=at.transparency_log,
            ),
            email=signer.email,
        )
        for name, signer in at.signers.items()
    }
    return FileApprovals(
        Cosign(binary=around.program(around.config.tools.cosign)),
        people,
        folder=section.folder(around.reports),
        source=around.config.folder,
        actor=person.name(around.environ),
        clock=around.clock,
        wait=section.wait,
        max_age=section.max_age,
    )
