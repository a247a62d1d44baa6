"""Rows: what the repository says, who is asked whether it is a good moment, and whether the gates can be judged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.request import urlopen

from pytest_deploy.sandbox.scraping import ALERT
from tests.contract.incident_servers import TOKEN
from tests.e2e.oracle import SERVICE, eventually
from tests.e2e.refusals.rows_cluster import NOBODY
from tests.e2e.refusals.world import World, row

NAMED = "${env:PAGERDUTY_TOKEN}"
NO_INCIDENT = f'Given no open incident is tagged "service:{SERVICE}"'
CHECKED = "Given the deployment checklist is complete"
JUDGED = "Given every gate of this feature can be judged"
BUDGET = f'Given the error budget of "{SERVICE}" is not burning'


@row(
    what="serverless.yml: that is the Serverless Framework, which this deploy can't drive",
    where="deploy.yaml",
    mend="use serverless deploy",
    contacted=False,
)
def serverless(world: World) -> None:
    """The service runs on another platform."""
    world.file("serverless.yml", "service: api\n")


@row(what="template.yaml", where="deploy.yaml", mend="sam deploy", contacted=False)
def sam_template(world: World) -> None:
    """It is an AWS SAM application."""
    world.file("template.yaml", "AWSTemplateFormatVersion: 2010-09-09\nTransform: AWS::Serverless-2016-10-31\n")


@row(
    what="deploy.yaml gives 'prod' to GitOps",
    where="gitops.environments.prod",
    mend="commit the digest instead",
    contacted=False,
)
def given_to_gitops(world: World) -> None:
    """deploy.yaml says that a commit brings the image there."""
    place = {"file": "prod/values.yaml", "key": "image.digest"}
    repository = f"file://{world.folder}/environments.git"
    world.profile["gitops"] = {"repository": repository, "environments": {"prod": place}}


@row(what="says nothing about what runs; give a digest", where="deploy.yaml:2:1", mend="correct this", contacted=False)
def image_latest(world: World) -> None:
    """The image is given as latest."""
    world.profile["image"] = "registry.sandbox.invalid/checkout-api:latest"


@row(
    what="no digest of registry.sandbox.invalid/checkout-api is known: it is neither built here nor given",
    where="prod.feature:",
    mend="image: registry.sandbox.invalid/checkout-api@sha256:...",
)
def image_by_tag(world: World) -> None:
    """The image is given by a tag, and nothing is built."""
    world.profile["image"] = "registry.sandbox.invalid/checkout-api:1.2.3"


@row(
    what="the feature deploys 'other-api', deploy.yaml describes 'checkout-api'",
    where="prod.feature:1",
    mend="correct this",
    contacted=False,
)
def feature_of_another_service(world: World) -> None:
    """The feature is another service's."""
    world.feature = world.feature.replace('the release "checkout-api"', 'the release "other-api"')


@row(what="wait_for_it", where="deploy.yaml:", mend="correct this", contacted=False)
def unknown_setting(world: World) -> None:
    """A setting that nobody knows."""
    world.profile["wait_for_it"] = True


@row(
    what="${{env:PAGERDUTY_TOKEN}}: the variable is not set, or empty",
    where="prod.feature:",
    mend="set PAGERDUTY_TOKEN where the deploy runs",
    contacted=False,
)
def secret_not_there(world: World) -> None:
    """A secret that deploy.yaml names is not in the job's environment."""
    world.profile["incidents"] = {"pagerduty": {"service_ids": ["PIJ90N7"]}}


@row(
    what="names exactly one feature file", where="prod.feature", mend="run one whole feature", contacted=False
)  # fmt: skip
def bare_pytest(world: World) -> None:
    """Nobody has named the feature."""
    world.arguments = (".",)


@row(
    what="nobody confirmed the deploy of checkout-api to prod",
    where="CI is not set",
    mend="--rehearse",
    contacted=False,
)
def nobody_confirms(world: World) -> None:
    """No CI, and no person at a terminal."""
    del world.env["CI"]


@row(what="/no/such/helm can't be run", where="/no/such/helm", mend="install helm", contacted=False)
def helm_missing(world: World) -> None:
    """There is no Helm."""
    world.profile["tools"]["helm"] = "/no/such/helm"


@row(what="3.11.3", where="{folder}/programs/helm", mend="tools.helm", contacted=False)
def helm_too_old(world: World) -> None:
    """A Helm before 3.12."""
    version = "v3.11.3+g323249351"
    world.profile["tools"]["helm"] = world.program("helm", f"echo {version}")


@row(
    what="a freeze is in force",
    where="(peak season)",
    mend="--deploy-set windows.freeze=[]",
)
def freeze(world: World) -> None:
    """The calendar says no."""
    today = datetime.now(UTC).date()
    until = {"from": f"{today - timedelta(days=1)}", "to": f"{today + timedelta(days=2)}", "reason": "peak season"}
    world.profile["windows"] = {"freeze": [until]}
    world.steps.append("Given no freeze is in force")


@row(
    what="2 of 3 items",
    where="deployment-checklist.md:2",
    mend="do them",
    status=1,
)
def unticked_checklist(world: World) -> None:
    """Two items are not done."""
    world.file("deployment-checklist.md", "- [x] on call knows\n- [ ] the migration has run\n- [ ] dashboards open\n")
    world.profile["checklist"] = "deployment-checklist.md"
    world.steps.append(CHECKED)


@row(what="has no item of the form", where="deployment-checklist.md", mend="- [ ]")
def empty_checklist(world: World) -> None:
    """A checklist in which nothing could be unticked."""
    world.file("deployment-checklist.md", "# Checklist\n\nTBD\n")
    world.profile["checklist"] = "deployment-checklist.md"
    world.steps.append(CHECKED)


@row(
    what="1 open in PagerDuty on Checkout (PIJ90N7)",
    where="https://acme.pagerduty.com/incidents/PT1234",
    mend="resolve them there",
    status=1,
)
def incident_open(world: World) -> Iterator[None]:
    """PagerDuty has an open incident of the service."""
    with world.parts.pagerduty() as server:
        server.open()
        _ask(world, "pagerduty", url=server.url, service_ids=["PIJ90N7"])
        yield


@row(what="not the same as none", where=NOBODY, mend="check its address and the network")
def incident_service_down(world: World) -> None:
    """Nobody answers at PagerDuty's address."""
    _ask(world, "pagerduty", url=f"http://{NOBODY}", service_ids=["PIJ90N7"], timeout_s=1)


@row(what="answered 401", where="PagerDuty (http://127.0.0.1:", mend="renew them")
def incident_service_refuses_the_token(world: World) -> Iterator[None]:
    """PagerDuty knows no such token."""
    with world.parts.pagerduty() as server:
        _ask(world, "pagerduty", url=server.url, service_ids=["PIJ90N7"])
        world.env |= {"PAGERDUTY_TOKEN": "revoked"}
        yield


@row(
    what="1 open in Opsgenie, tagged service:checkout-api",
    where="Our servers are in danger",
    mend="close them there",
    status=1,
)
def alert_open_in_opsgenie(world: World) -> Iterator[None]:
    """Opsgenie has an open alert with the service's tag."""
    with world.parts.opsgenie() as server:
        server.open(f"service:{SERVICE}")
        _ask(world, "opsgenie", url=server.url, api_key=NAMED)
        yield


@row(
    what='1 alerts with service="checkout-api" fire, as Alertmanager has it',
    where="HighErrorRate",
    mend="mend what they tell of",
    status=1,
)
def alert_firing(world: World) -> Iterator[None]:
    """Alertmanager has a firing alert with the service's label."""
    with world.parts.alertmanager() as server:
        server.fire("HighErrorRate", service=SERVICE)
        _ask(world, "alertmanager", url=server.url, bearer_token=NAMED)
        yield


@row(
    what='with service="checkout-api" fire in Prometheus',
    where="More than half of the requests to checkout-api fail.",
    mend="mend what they tell of",
    ground="burning",
    status=1,
)
def alert_firing_in_prometheus(world: World) -> Iterator[None]:
    """Prometheus has a firing alert with the service's label."""
    _ask(world, "prometheus")
    eventually(lambda: ALERT in _firing(world), "the alert fires")
    yield


@row(what="the metrics server does not answer", where=NOBODY, mend="correct metrics in deploy.yaml")
def metrics_server_down(world: World) -> None:
    """Nobody answers at Prometheus' address."""
    world.profile["metrics"]["prometheus"]["url"] = f"http://{NOBODY}"
    world.steps.append(JUDGED)


@row(what="these gates could not be judged", where="prod.feature:", mend="correct metrics in deploy.yaml")
def metrics_that_are_not_there(world: World) -> None:
    """The service exposes no such metric."""
    world.profile["metrics"]["prometheus"]["requests_metric"] = "http_requests_of_another_name_total"
    world.steps.append(JUDGED)


@row(what="these gates could never pass", where="prod.feature:", mend="longer windows")
def too_few_requests(world: World) -> None:
    """Not even zero errors would prove a limit so small."""
    world.feature = world.feature.replace("at or below 0.5%", "at or below 0.0001%")
    world.steps.append(JUDGED)


@row(what="burn", where="prod.feature:", mend="do not add a deploy to an incident", ground="burning")
def budget_burning(world: World) -> None:
    """Half of the requests fail, before anything is changed."""
    eventually(lambda: ALERT in _firing(world), "there are requests to judge")
    world.steps.append(BUDGET)


@row(what="whether the error budget burns can't be told", where=NOBODY, mend="wait until it is over")
def budget_not_readable(world: World) -> None:
    """Nobody can tell whether the error budget burns."""
    world.profile["metrics"]["prometheus"]["url"] = f"http://{NOBODY}"
    world.steps.append(BUDGET)


def _ask(world: World, tool: str, **settings: object) -> None:
    world.profile["incidents"] = {tool: settings}
    world.env["PAGERDUTY_TOKEN"] = TOKEN
    world.steps.append(NO_INCIDENT)


def _firing(world: World) -> str:
    """Return the alerts of the ground's namespace as Prometheus tells them."""
    with urlopen(f"{world.place.sandbox.facts['prometheus_url']}/api/v1/alerts", timeout=5) as answer:  # noqa: S310 - ours
        found = json.load(answer)["data"]["alerts"]
    mine = [each for each in found if each["labels"].get("namespace") == world.place.namespace]
    return " ".join(each["labels"]["alertname"] for each in mine if each["state"] == "firing")
