"""What is wrong before anything was changed: a clear error with the next move, exit 4, and nothing is written."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.e2e.caller import Deploys
from tests.e2e.conftest import Places
from tests.e2e.oracle import CHART, Place

pytestmark = pytest.mark.real

MENDING = """\
strategy:
  canary:
    steps:
      - setWeight: 5
      - pause: {}
      - setWeight: 25
      - pause: {}
      - setWeight: 50
      - pause: {}
      - setWeight: 100
      - pause: {}
"""


def edited(place: Place, file: str, edit: Callable[[str], str]) -> Path:
    """Return a copy of the demo chart with one file changed."""
    chart = place.folder / "chart"
    shutil.copytree(CHART, chart)
    path = chart / file
    before = path.read_text("utf-8")
    path.write_text(edit(before), "utf-8")
    assert path.read_text("utf-8") != before
    return chart


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def timed(place: Place) -> Path:
    """A chart whose Rollout goes on by itself."""
    return edited(place, "templates/rollout.yaml", lambda text: text.replace("pause: {}", "pause: {duration: 1m}"))


def other_weights(place: Place) -> Path:
    """A chart whose Rollout pauses elsewhere."""
    return edited(place, "values.yaml", lambda text: text.replace("[5, 25, 50, 100]", "[5, 50, 100]"))


def a_deployment(place: Place) -> Path:
    """A chart with a Deployment in place of the Rollout."""

    def edit(text: str) -> str:
        head, _, rest = text.partition("  strategy:\n")
        head = head.replace("argoproj.io/v1alpha1", "apps/v1").replace("kind: Rollout", "kind: Deployment")
        return f"{head}  template:\n" + rest.partition("  template:\n")[2]

    return edited(place, "templates/rollout.yaml", edit)


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is wrong, and what must be said about it.

    Args:
        options: KEY=VALUE for --deploy-set; the address of a port where nobody listens stands for NOWHERE.
        chart: makes a chart; None: the demo's own.
    """

    options: tuple[str, ...] = ()
    chart: Callable[[Place], Path] | None = None
    says: tuple[str, ...]


CASES = {
    "other-weights": Case(
        chart=other_weights,
        says=("it pauses at 5 %, 50 %, 100 %, and the feature promotes through 5 %, 25 %, 50 %, 100 %", MENDING),
    ),
    "timed-pause": Case(
        chart=timed,
        says=("step 0 sets 5 % and then goes on with a pause of 60 s: it would advance without a verdict", MENDING),
    ),
    "no-rollout": Case(
        chart=a_deployment, says=("renders no Rollout named checkout-api", "for a Deployment use strategy: rolling")
    ),
    "another-cluster": Case(
        options=("environments.prod.server=https://NOWHERE",),
        says=(
            "context sandbox-prod leads to another cluster",
            "the server is https://127.0.0.1:",
            "not https://NOWHERE",
        ),
    ),
    "no-context": Case(
        options=("environments.prod.context=elsewhere",),
        says=("no kube context 'elsewhere' in", "known are sandbox-prod, sandbox-staging"),
    ),
    "no-namespace": Case(
        options=("environments.prod.namespace=nobody",),
        says=('cannot get resource "rollouts"', 'in the namespace "nobody"', "pytest-deploy rbac prod"),
    ),
}
WITHOUT_HELM = {
    "no-helm": Case(options=("tools.helm=/no/such/helm",), says=("/no/such/helm can't be run", "install helm")),
    "not-helm": Case(options=("tools.helm=/bin/true",), says=("/bin/true does not tell its version",)),
}


def refused(places: Places, deploys: Deploys, cases: Mapping[str, Case]) -> None:
    """Run each case for real, side by side, and assert exit 4, its words, and that nothing was written."""
    place = places()
    nowhere = f"127.0.0.1:{closed_port()}"
    before = place.untouched()
    started = []
    for name, case in cases.items():
        here = replace(place, folder=place.folder / name)
        here.folder.mkdir()
        options = [f"--deploy-set={text.replace('NOWHERE', nowhere)}" for text in case.options]
        chart = case.chart(here) if case.chart else CHART
        started.append((case, deploys.start_for_real(here, *options, chart=chart)))
    for case, run in started:
        assert run.end() == 4, run.out
        assert "REFUSED, nothing changed" in run.last
        for words in case.says:
            assert words.replace("NOWHERE", nowhere) in run.out
        assert "  next: " in run.out
    assert place.untouched() == before


def test_what_can_never_work(places: Places, deploys: Deploys) -> None:
    """Other weights, a timed pause, no Rollout, another cluster, no context, no namespace: exit 4, nothing written."""
    refused(places, deploys, CASES)


def test_no_helm(places: Places, deploys: Deploys) -> None:
    """A Helm that is missing, or that is something else: exit 4, nothing written."""
    refused(places, deploys, WITHOUT_HELM)


def test_prometheus_is_unreachable(places: Places, deploys: Deploys) -> None:
    """Nobody listens at the metrics' address: the address and the reason are told, and nothing is written."""
    place = places()
    before = place.untouched()
    nowhere = f"http://127.0.0.1:{closed_port()}"
    run = deploys.start_for_real(place, f"--deploy-set=metrics.prometheus.url={nowhere}")
    assert run.end() in {1, 4}, run.out
    assert nowhere in run.out, run.out
    assert place.untouched() == before


def test_a_bare_pytest_contacts_nobody(places: Places, deploys: Deploys, tmp_path: Path) -> None:
    """A folder, two features or nothing named, with a kubeconfig that works: exit 4, and no connection was tried."""
    place = places(install=False)
    with socket.create_server(("127.0.0.1", 0)) as trap:
        config = json.loads(Path(place.kubeconfig).read_text("utf-8"))
        for cluster in config["clusters"]:
            cluster["cluster"]["server"] = f"https://127.0.0.1:{trap.getsockname()[1]}"
        trapped = tmp_path / "kubeconfig"
        trapped.write_text(json.dumps(config), "utf-8")
        env = {"CI": "true", "KUBECONFIG": str(trapped)}
        deploys.write(place, real=True, digest=f"@{place.old}")
        shutil.copy(place.folder / "prod.feature", place.folder / "other.feature")
        for arguments in ((".",), (), ("prod.feature", "other.feature")):
            run = deploys.run(place, *arguments, env=env)
            assert run.end() == 4, run.out
            assert "REFUSED, nothing changed, nothing contacted" in run.out
            assert "names exactly one feature file" in run.out
        trap.settimeout(0)
        with pytest.raises(BlockingIOError):
            trap.accept()
        deploys.run(place, "prod.feature", env=env)
        trap.settimeout(30)
        trap.accept()[0].close()
