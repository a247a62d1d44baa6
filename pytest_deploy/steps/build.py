"""Build, signature, scan, tests, chart."""

from __future__ import annotations

from pytest_bdd import parsers, then, when

from pytest_deploy.engine import phases
from pytest_deploy.engine.deploy import Deploy

__all__: list[str] = []

_SEVERITY = '"(?:UNKNOWN|LOW|MEDIUM|HIGH|CRITICAL)"'


@when("the image is built, pushed and signed")
def built(deploy: Deploy) -> None:
    """Build, push and sign the image. Off without the section ``build``: the image is then given by digest.

    Example:
        When the image is built, pushed and signed
    """
    deploy.run(lambda: phases.build(deploy))


@then("it is pinned by digest")
def pinned(deploy: Deploy) -> None:
    """Check that one digest is known, the same for every later phase.

    Example:
        Then it is pinned by digest
    """
    deploy.run(lambda: phases.is_pinned(deploy))


@then("its signature, provenance and SBOM are verified")
def verified(deploy: Deploy) -> None:
    """Verify the image by digest. Off without the section ``sign``.

    Example:
        Then its signature, provenance and SBOM are verified
    """
    deploy.run(lambda: phases.verify(deploy))


@then(parsers.re(rf"it has no (?P<severities>{_SEVERITY}(?:(?:, | or ){_SEVERITY})*) vulnerability"))
def scanned(deploy: Deploy, severities: str) -> None:
    """Scan the image by digest; a scanner that could not scan is never clean. Off without ``scan``.

    Example:
        Then it has no "HIGH" or "CRITICAL" vulnerability
    """
    deploy.run(lambda: phases.check(deploy, "scan", f"{deploy.image.pinned} {severities}"))


@then(parsers.re(r'(?P<commands>"[^"]+"(?:(?:, | and )"[^"]+")*) pass'))
def tests_pass(deploy: Deploy, commands: str) -> None:
    """Run the repository's tests. Off without the section ``tests``.

    Example:
        Then "make test" and "make integration-test" pass
    """
    deploy.run(lambda: phases.check(deploy, "tests", commands))


@then("the chart passes lint and strict schema validation")
def chart(deploy: Deploy) -> None:
    """Lint the chart and validate what it renders. Off without the section ``chart_checks``.

    Example:
        Then the chart passes lint and strict schema validation
    """
    deploy.run(lambda: phases.check(deploy, "chart_checks", deploy.image.pinned))
