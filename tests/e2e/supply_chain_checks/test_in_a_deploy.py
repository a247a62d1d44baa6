"""Chart, scan and tests in a deploy of their own account: what is red stops it before anything is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.caller import Deploys, deployer
from tests.e2e.conftest import Places
from tests.e2e.oracle import Place
from tests.e2e.supply_chain_checks.rig import OPENSSL, Rig, rig

pytestmark = pytest.mark.real

CHECKS = """\
  Scenario: Checks
    Then it is pinned by digest
    And the chart passes lint and strict schema validation
    And it has no "HIGH" or "CRITICAL" vulnerability
    And "make test" and "make integration-test" pass

"""
RED = "not ok 2 - pays\\n"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Rig]:
    """Start a registry of this test's own."""
    with rig(tmp_path) as started:
        yield started


def prepared(deploys: Deploys, place: Place, made: Rig, name: str, packages: dict[str, str], *, tap: str) -> str:
    """Write feature, deploy.yaml and Makefile, all three checks on; return the image."""
    pinned = made.image(name, packages)
    deploys.write(place, real=True, digest=f"@{pinned.partition('@')[2]}")
    profile = place.folder / "deploy.yaml"
    facts = yaml.safe_load(profile.read_text("utf-8"))
    facts["image"] = pinned
    facts["tests"] = {"commands": ["make test", "make integration-test"]}
    facts["scan"] = {"offline": True, "cache_folder": str(made.cache)}
    facts["chart_checks"] = {}
    facts["tools"] |= {tool: made.programs[tool] for tool in ("trivy", "kubeconform")}
    profile.write_text(yaml.safe_dump(facts), "utf-8")
    feature = place.folder / "prod.feature"
    head, outline, rest = feature.read_text("utf-8").partition("  Scenario Outline:")
    feature.write_text(f"{head}{CHECKS}{outline}{rest}", "utf-8")
    (place.folder / "Makefile").write_text(
        f"test:\n\t@env; printf '1..1\\nok 1 - adds\\n'\nintegration-test:\n\t@printf '{tap}'\n"
    )
    return pinned


def test_red_checks_stop_a_deploy(places: Places, deploys: Deploys, made: Rig) -> None:
    """A failing test, a vulnerability, a broken chart: each ends the deploy with nothing written; reports hold why."""
    place = places()
    before = place.untouched()
    env = {"CI": "true", "KUBECONFIG": str(deployer(place)), "GITHUB_TOKEN": "planted-token"}
    options = ("--alluredir", "allure", "prod.feature")

    prepared(deploys, place, made, "clean", {"openssl": "3.0.11-2"}, tap=f"1..2\\nok 1 - up\\n{RED}")
    run = deploys.run(place, *options, env=env)
    assert run.end() == 1, run.out
    assert '"make integration-test" ended with 0' in run.out
    assert "1 of 2 tests failed (TAP): pays" in run.out
    assert "prod: lint is clean, 5 objects valid for https://127.0.0.1:" in run.note
    assert "no HIGH or CRITICAL vulnerability in 1 package of debian 12.1" in run.note
    attached = "".join(path.read_text("utf-8") for path in (place.folder / "allure").glob("*") if path.is_file())
    for words in ("not ok 2 - pays", "SEVERITY", "helm lint (prod)", "ok 1 - adds"):
        assert words in attached, words
    assert "KUBECONFIG=/dev/null" in attached
    for path in (*(place.folder / "allure").rglob("*"), *run.folder.rglob("*")):
        assert not path.is_file() or b"planted-token" not in path.read_bytes(), path
    assert place.untouched() == before

    prepared(deploys, place, made, "vulnerable", {"openssl": "3.0.1-1"}, tap="1..1\\nok 1 - up\\n")
    run = deploys.run(place, *options, env=env)
    assert run.end() == 1, run.out
    assert f"{OPENSSL} in openssl 3.0.1-1 (CRITICAL, fixed in 3.0.11-2)" in run.out
    assert place.untouched() == before

    prepared(deploys, place, made, "clean", {"openssl": "3.0.11-2"}, tap="1..1\\nok 1 - up\\n")
    chart = place.chart(lambda copy: _misspell(copy / "templates" / "services.yaml"))
    run = deploys.run(place, *options, f"--deploy-set=chart_path={json.dumps(str(chart))}", env=env)
    assert run.end() == 1, run.out
    assert "'port' not allowed" in run.out
    assert place.untouched() == before


def _misspell(path: Path) -> None:
    path.write_text(path.read_text("utf-8").replace("ports:", "port:", 1), "utf-8")
