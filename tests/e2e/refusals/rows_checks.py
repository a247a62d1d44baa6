"""Rows: tests, scan and chart checks, with the real trivy, kubeconform and Helm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.e2e.refusals.rows_cluster import NOBODY
from tests.e2e.refusals.world import World, row
from tests.e2e.supply_chain_checks.rig import OPENSSL

TESTED = 'Then "make test" and "make integration-test" pass'
SCANNED = 'Then it has no "HIGH" or "CRITICAL" vulnerability'
VALID = "Then the chart passes lint and strict schema validation"
GREEN = "1..1\\nok 1 - adds\\n"
RED = "1..2\\nok 1 - adds\\nnot ok 2 - pays\\n"


@row(what="1 of 2 tests failed (TAP): pays", where='"make integration-test" ended with', mend="mend it", status=1)
def red_tests(world: World) -> None:
    """One test fails; make says so."""
    _tests(world, f"@printf '{RED}'; exit 2")


@row(what="although tests failed: 1 of 2", where='"make integration-test" ended with 0', mend="see it pass", status=1)
def red_tests_that_end_with_0(world: World) -> None:
    """One test fails, and its command says that all is well."""
    _tests(world, f"@printf '{RED}' || true")


@row(
    what="but ran no test (pytest: 3 skipped)",
    where='"make integration-test" ended with 0',
    mend="make integration-test",
    status=1,
)
def no_test_ran(world: World) -> None:
    """The command is happy with nothing."""
    _tests(world, "@echo '===== 3 skipped in 0.01s ====='")


@row(what="No rule to make target", where='"make integration-test"', mend="run it here by hand")
def no_such_target(world: World) -> None:
    """The Makefile has no such target."""
    _tests(world, "@true")
    world.file("Makefile", f"test:\n\t@printf '{GREEN}'\n")


@row(
    what=f"{OPENSSL} in openssl 3.0.1-1 (CRITICAL, fixed in 3.0.11-2)",
    where="{image}",
    mend="raise openssl and build anew",
    status=1,
)
def vulnerable_image(world: World) -> None:
    """The image has a package with a known vulnerability."""
    _scan(world, {"openssl": "3.0.1-1"})


@row(
    what="is built on debian 7.1, which gets no security updates any more",
    where="{image}",
    mend="a release that is supported",
    status=1,
)
def image_past_its_end_of_life(world: World) -> None:
    """Nobody looks for vulnerabilities there any more."""
    _scan(world, {"openssl": "3.0.11-2"}, os_release="7")


@row(what="ignores for ever: line 1 (CVE-2026-0001)", where=".trivyignore", mend="exp:")
def ignored_for_ever(world: World) -> None:
    """An entry of the ignore file has no date."""
    _scan(world, {"openssl": "3.0.1-1"})
    world.file(".trivyignore", f"{OPENSSL}\n")
    world.profile["scan"]["ignore_file"] = ".trivyignore"


@row(what="trivy ended with 1 and scanned nothing", where="{image}", mend="scan again once the registry")
def scanner_without_answer(world: World) -> None:
    """The registry does not answer the scanner."""
    _scan(world, {"openssl": "3.0.11-2"})
    world.use(f"{NOBODY}/checkout-api@{world.words['digest']}")


@row(what="at most 48 h (scan.db_max_age_hours)", where="50 h old", mend="trivy image --download-db-only")
def database_too_old(world: World) -> None:
    """What the scanner knows is two days old."""
    _scan(world, {"openssl": "3.0.11-2"})
    old = datetime.now(UTC) - timedelta(hours=50)
    cache = world.parts.checks.database("old", updated_at=f"{old:%Y-%m-%dT%H:%M:%SZ}")
    world.profile["scan"]["cache_folder"] = str(cache)


@row(what="it found no package that it knows", where="{image}", mend="a distribution that trivy knows")
def image_without_packages(world: World) -> None:
    """The scanner finds nothing that it knows, which is not clean."""
    _scan(world, {})


@row(what="/no/such/trivy", where="trivy", mend="install")
def scanner_missing(world: World) -> None:
    """There is no scanner."""
    _scan(world, {"openssl": "3.0.11-2"})
    world.profile["tools"]["trivy"] = "/no/such/trivy"


@row(what="'port' not allowed", where="{folder}/chart", mend="helm3 template checkout-api {folder}/chart", status=1)
def chart_with_a_misspelt_field(world: World) -> None:
    """The target cluster's own schema knows no such field."""
    _valid(world)
    world.chart("templates/services.yaml", lambda text: text.replace("ports:", "port:", 1))


@row(
    what="container proxy: envoyproxy/envoy:v1.31 has no digest",
    where="Rollout/checkout-api",
    mend="helm3 template checkout-api {folder}/chart",
    status=1,
)
def a_tag_in_the_rendered_manifests(world: World) -> None:
    """A sidecar is given by tag."""
    _valid(world)
    sidecar = "        - {name: proxy, image: 'envoyproxy/envoy:v1.31'}\n"
    world.chart(
        "templates/rollout.yaml",
        lambda text: text.replace("      containers:\n", f"      containers:\n{sidecar}"),
    )


@row(
    what='no matches for kind "PodSecurityPolicy" in version "policy/v1beta1"',
    where="{folder}/chart",
    mend="run it by hand",
)
def an_api_that_the_cluster_has_not(world: World) -> None:
    """The chart uses an API that was removed."""
    _valid(world)
    world.copied_chart()
    old = "apiVersion: policy/v1beta1\nkind: PodSecurityPolicy\nmetadata: {name: old}\nspec: {privileged: false}\n"
    world.file("chart/templates/old.yaml", old)


@row(what="/no/such/kubeconform", where="kubeconform", mend="install")
def validator_missing(world: World) -> None:
    """There is no kubeconform."""
    _valid(world)
    world.profile["tools"]["kubeconform"] = "/no/such/kubeconform"


def _tests(world: World, recipe: str) -> None:
    world.profile["tests"] = {"commands": ["make test", "make integration-test"]}
    world.file("Makefile", f"test:\n\t@printf '{GREEN}'\nintegration-test:\n\t{recipe}\n")
    world.steps.append(TESTED)


def _scan(world: World, packages: dict[str, str], *, os_release: str = "12") -> None:
    rig = world.parts.checks
    world.use(rig.image("checkout-api", packages, os_release=os_release))
    world.profile["scan"] = {"offline": True, "cache_folder": str(rig.cache)}
    world.profile["tools"]["trivy"] = rig.programs["trivy"]
    world.steps.append(SCANNED)


def _valid(world: World) -> None:
    world.profile["chart_checks"] = {}
    world.profile["tools"]["kubeconform"] = world.parts.checks.programs["kubeconform"]
    world.steps.append(VALID)
