"""No deploy into an incident, past an open item or into a freeze: all told at once, and nothing is written."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.contract.incident_servers import TOKEN, PagerDutyServer, serve
from tests.e2e.caller import Deploys, Running, deployer
from tests.e2e.conftest import Places
from tests.e2e.oracle import CLOCK, Place, digest_of

pytestmark = pytest.mark.real

QUIET = """\
incidents:
  pagerduty: {{service_ids: [PIJ90N7], url: "{url}", token: "${{env:PAGERDUTY_TOKEN}}"}}
  prometheus: {{}}
checklist: deployment-checklist.md
windows: {{freeze: [{{from: "{begin}", to: "{end}", reason: "peak season"}}]}}
"""
STEPS = """\
    And no open incident is tagged "service:checkout-api"
    And the deployment checklist is complete
    And no freeze is in force
"""


def write(place: Place, deploys: Deploys, duty: PagerDutyServer, *, checklist: str, frozen: bool) -> None:
    """Write a deploy.yaml with all that keeps a deploy out, and a feature that asks for it."""
    deploys.write(place, real=True, digest=f"@{digest_of(f'new {place.folder}')}")
    begin = CLOCK.now() - timedelta(minutes=1 if frozen else 90)
    times = {"begin": f"{begin:%Y-%m-%dT%H:%M}", "end": f"{begin + timedelta(hours=1):%Y-%m-%dT%H:%M}"}
    with (place.folder / "deploy.yaml").open("a", encoding="utf-8") as file:
        file.write(QUIET.format(url=duty.url, **times))
    feature = place.folder / "prod.feature"
    head, account, rest = feature.read_text("utf-8").partition("And the Helm release is neither pending nor failed\n")
    feature.write_text(head + account + STEPS + rest, "utf-8")
    (place.folder / "deployment-checklist.md").write_text(checklist, "utf-8")


def run(place: Place, deploys: Deploys) -> Running:
    """Run it as a CI job does, and wait for its end."""
    env = {"CI": "true", "KUBECONFIG": str(deployer(place)), "PAGERDUTY_TOKEN": TOKEN}
    running = deploys.run(place, "prod.feature", env=env)
    running.end()
    return running


def test_all_that_keeps_a_deploy_out_is_told_at_once(places: Places, deploys: Deploys) -> None:
    """An open incident, an open item and a freeze, each with its way out; the token is nowhere in what is left."""
    place, duty = places(), PagerDutyServer()
    duty.open(title="Checkout is down")
    with serve(duty):
        write(place, deploys, duty, checklist="- [x] one\n- [ ] tell support\n", frozen=True)
        deployer(place)
        before = place.untouched()
        refused = run(place, deploys)
    assert refused.process.returncode == 1, refused.out
    assert "STOPPED, nothing had been changed" in refused.last
    for words in (
        "1 open in PagerDuty on Checkout (PIJ90N7)",
        "#1234 triggered, high urgency, since 2026-11-24T09:30:42Z: Checkout is down",
        "next: resolve them there",
        "deployment-checklist.md:2: tell support",
        "a freeze is in force",
        "(peak season)",
        "windows.freeze=[]",
    ):
        assert words in refused.out, refused.out
    assert place.untouched() == before
    files = [path for path in refused.folder.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


def test_where_all_is_quiet_it_deploys(places: Places, deploys: Deploys) -> None:
    """What was asked, and of whom, stands in the note's steps; the checklist is attached."""
    place, duty = places(), PagerDutyServer()
    with serve(duty):
        write(place, deploys, duty, checklist="- [x] one\n- [x] tell support\n", frozen=False)
        deployed = run(place, deploys)
    assert deployed.process.returncode == 0, deployed.out
    assert "COMMITTED" in deployed.last
    assert "PagerDuty: no open incident on Checkout (PIJ90N7)" in deployed.out
    assert 'Prometheus: none of 1 alerting rules fires with service="checkout-api"' in deployed.out
    assert "all 2 items of deployment-checklist.md are ticked" in deployed.out
    assert "tell support" in deployed.note
