"""The judgement on real parts: every gate, every answer to a verdict, and one truth in all that is written of it."""

from __future__ import annotations

import html
import json
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import pytest

from pytest_deploy.sandbox.place import free_ports
from tests.e2e import judgement_features as written
from tests.e2e.caller import Deploys, Running, deployer
from tests.e2e.conftest import Places
from tests.e2e.oracle import CLOCK, SERVICE, Place, digest_of, eventually
from tests.e2e.test_deploys import rolled_back

pytestmark = pytest.mark.real

VOCABULARY: Mapping[int, tuple[str, ...]] = {
    5: (
        "for 3 minutes the error rate stays at or below 0.5%",
        "for 3 minutes the p95 latency stays at or below 300 ms",
        "for 3 minutes the p99 latency stays at or below 1 s",
        "for 3 minutes the error rate is no worse than stable by more than 0.5 points",
        "for 3 minutes the p95 latency is no worse than stable by more than 50 ms",
    ),
    25: (
        "until 1,500 requests, at most 30 minutes, the availability stays at or above 99.5%",
        "for 2 minutes the CPU throttling stays at or below 25%",
        "for 2 minutes the memory use stays at or below 80% of its limit",
        "for 2 minutes no container restarts",
        "for 2 minutes no alert of the service fires",
    ),
    50: (
        "for 2 minutes the error rate stays at or below 0.5%",
        'for 2 minutes "requests of a pod" stays at or below 150 requests/s',
        'for 2 minutes the script "scripts/check-slo.py" finds the SLO kept',
        "as a dry run, for 2 minutes the p95 latency stays at or below 10 ms",
        "the metrics server scrapes 1 target",
    ),
}


def test_the_whole_vocabulary_commits(places: Places, deploys: Deploys) -> None:
    """A good version passes every gate there is: exit 0; each verdict stands in the note and in deploy.json."""
    place = places()
    written.profile(place, "gate: {script_env: [PROMETHEUS_URL]}\n")
    written.bring_script(place)
    service = written.service_of(place)
    written.feature(
        place,
        VOCABULARY,
        before=("every gate of this feature can be judged", f'the error budget of "{service}" is not burning'),
        after=(
            "the new revision is on top of the rollout history",
            f'the SLO of "{service}" holds for 2 minutes',
            f'the error budget of "{service}" does not burn',
        ),
    )
    run = written.start(deploys, place)
    assert run.end() == 0, run.out
    assert "COMMITTED" in run.last
    place.serves_only(run.facts["image"]["new"].partition("@")[2])
    assert [it[:2] for it in place.history()] == [(1, "superseded"), (2, "deployed")]
    found = {(each["weight"], each["name"]): each for each in run.facts["gates"]}
    assert len(found) == 5 + 5 + 5 + 2 + 2, list(found)
    assert " -0 ms" not in run.out
    dry = found.pop((50, "p95 latency"))
    assert (dry["verdict"], dry["dry_run"]) == ("FAIL", True)
    assert {key: each["verdict"] for key, each in found.items()} == dict.fromkeys(found, "PASS")
    for each in run.facts["gates"]:
        assert each["sentence"] in run.out or each["kind"] == "step"
        assert f"{each['name']} {each['where']}: {each['verdict']}" in each["sentence"]
    script = json.loads((place.folder / "script-ran.json").read_text("utf-8"))
    assert script["arguments"] == [service, "50"]
    assert float(script["answer"][0]["value"][1]) == 0
    assert found[50, "scripts/check-slo.py"]["value"] is None
    assert f"0.00% of the requests to {service} fail at 50 %" in found[50, "scripts/check-slo.py"]["sentence"]
    until = found[25, "availability"]
    assert until["requests"] >= 1500
    assert until["watched_s"] < 60
    rows = [line for line in run.note.splitlines() if line.startswith("| ")]
    for weight, name in [*found, (50, "p95 latency")]:
        where = "after promotion" if weight is None else f"{weight} %"
        assert [row for row in rows if f" {where} " in row and name.replace("_", "\\_") in row], (weight, name)


BAD = {
    "throttled": ("0.6", "CPU throttling", "60.00 % > 25.00 %"),
    "memory": ("0.95", "memory use", "95.00 % > 80.00 %"),
    "restarts": ("9", "container restarts", ""),  # one each five seconds: one or two in a window of six
}
STRAINED = tuple(text.replace("for 2 minutes", "for 3 minutes") for text in (*written.USUAL, *VOCABULARY[25][1:4]))


def test_a_version_that_strains_its_containers_is_taken_back(places: Places, deploys: Deploys) -> None:
    """Throttled, short of memory, restarting: each is stopped by the gate for it, though it answers, and taken back."""
    started = []
    for annotation, (value, name, compared) in BAD.items():
        place = places()
        written.profile(place)
        written.feature(place, {5: STRAINED})
        started.append((place, written.start(deploys, place, *written.worse(annotation, value)), name, compared))
    for place, run, name, compared in started:
        assert run.end() == 1, run.out
        assert f"{name} at 5 %: FAIL, {compared}" in run.out
        assert f"because of {name}" in run.out
        assert "ROLLED BACK, verified" in run.last
        assert run.facts["rollbacks"][0]["started"]["cause"] == name
        assert {each["name"] for each in run.facts["gates"] if each["verdict"] == "FAIL"} == {name}
        rolled_back(place)


NO_DATA = "for 2 minutes the error rate stays at or below 0.5%"
SENTENCE = "error rate at 5 %: NO_DATA"


def without_data(*places_: Place) -> list[dict[str, object]]:
    """Return the faults by which the canaries of these places have no data."""
    return [{"what": "no data", "service": SERVICE, "namespace": each.namespace} for each in places_]


def held(run: Running) -> None:
    """Wait until a gate of the run is held."""
    run.until(partial(run.says, "HELD"), "the gate is held")


def decide(place: Place, answer: str) -> None:
    """Decide as a person does, in a process of its own."""
    done = written.cli(place, "decide", answer, "--reason", REASON, "--by", "ann", "--sandbox")
    assert done.returncode == 0, done.stderr
    assert SENTENCE in done.stdout


REASON = "the metrics are being moved, seen in Grafana"


def test_a_person_decides_about_a_gate_without_data(places: Places, deploys: Deploys) -> None:
    """Extended once, then held; promote lets it go on and commit, abort takes it back at once; both are on record."""
    gone_on, aborted = places(), places()
    gone_on.sandbox.play(without_data(gone_on, aborted))
    runs = []
    for place in (gone_on, aborted):
        written.profile(place)
        written.feature(place)
        runs.append(written.start(deploys, place))
    for run in runs:
        held(run)
        assert "extended by 4 s" in run.out
        assert "pytest-deploy decide promote --deploy" in run.out
    gone_on.sandbox.play([])
    decide(gone_on, "promote")
    decide(aborted, "abort")
    began = CLOCK.monotonic()
    assert runs[1].end() == 1, runs[1].out
    assert CLOCK.monotonic() - began < 15
    assert "ROLLED BACK, verified" in runs[1].last
    rolled_back(aborted)
    assert runs[0].end() == 0, runs[0].out
    assert "COMMITTED" in runs[0].last
    gone_on.serves_only(runs[0].facts["image"]["new"].partition("@")[2])
    for place, run, answer in zip((gone_on, aborted), runs, ("promote", "abort"), strict=True):
        on_record(place, run, answer)
    at_5 = next(each for each in runs[0].facts["scenarios"] if each["title"] == "Canary at 5%")
    overridden = [each["detail"] for each in at_5["steps"] if "NO_DATA" in each["detail"]]
    assert len(overridden) == 2
    assert all(REASON in each for each in overridden), overridden


def on_record(place: Place, run: Running, answer: str) -> None:
    """Assert that answer, name and reason stand in deploy.json, in the note, and in both journals."""
    (hold,) = run.facts["holds"]
    assert hold["verdict"] == "NO_DATA"
    assert SENTENCE in hold["sentence"]
    decision = hold["decision"]
    account = json.loads(place.kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]["username"]
    assert (decision["answer"], decision["by"], decision["reason"]) == (answer, f"{account} (ann)", REASON)
    words = f"{answer} decided by {account} (ann)"
    journal = (run.folder / "reports" / "latest" / "journal.jsonl").read_text("utf-8")
    for where, text in (("console", run.out), ("note", run.note), ("journal", journal), ("cluster", beside(place))):
        assert words in text.replace("\\", ""), where
        assert REASON in text.replace("\\", ""), where


def beside(place: Place) -> str:
    """Return the journal in the cluster."""
    return written.beside_the_workload(place)


@pytest.mark.long
def test_nobody_decides_about_a_gate_without_data(places: Places, deploys: Deploys) -> None:
    """At its deadline a hold ends in a rollback, exit 1; SIGTERM ends one before, exit 2; the old version serves."""
    late, ended = places(), places()
    late.sandbox.play(without_data(late, ended))
    runs = []
    for place, minutes in ((late, 3), (ended, 30)):
        written.profile(place, f"gate: {{hold_minutes: {minutes}}}\n")
        written.feature(place)
        runs.append(written.start(deploys, place))
    held(runs[1])
    runs[1].send(signal.SIGTERM)
    assert runs[1].end() == 2, runs[1].out
    assert "INTERRUPTED, rolled back, verified" in runs[1].last
    assert runs[1].facts["holds"][0]["decision"] is None
    rolled_back(ended)
    assert runs[0].end() == 1, runs[0].out
    assert "ROLLED BACK, verified" in runs[0].last
    assert "nobody decided in time" in runs[0].out
    assert "nobody decided in time" in runs[0].note
    assert runs[0].facts["holds"][0]["decision"] is None
    rolled_back(late)


def told_everywhere(sentence: str, reports: Path, junit: Path, console: str) -> None:
    """Assert that a sentence stands, word for word, in everything that is written of a deploy."""
    latest = reports / "latest"
    facts = json.loads((latest / "deploy.json").read_text("utf-8"))
    allure = [json.loads(file.read_text("utf-8")) for file in (latest / "allure-results").glob("*-result.json")]
    failures = list(ET.parse(junit).iter("failure"))
    journal = [json.loads(line) for line in (latest / "journal.jsonl").read_text("utf-8").splitlines()]
    texts = {
        "console": console,
        "note": (latest / "deploy-note.md").read_text("utf-8"),
        "page": html.unescape((latest / "report.html").read_text("utf-8")),
        "deploy.json": "\n".join(each["sentence"] for each in facts["gates"]),
        "what stopped it": facts["stopped"]["reason"],
        "JUnit": "\n".join(str(each.text) for each in failures),
        "JUnit's message": "\n".join(each.get("message", "") for each in failures),
        "Allure": "\n".join(each.get("statusDetails", {}).get("message") or "" for each in allure),
        "journal": "\n".join(each.get("observed") or "" for each in journal if each["type"] == "journal"),
    }
    assert [where for where, text in texts.items() if sentence not in text] == []


def replayed(place: Place, reports: Path) -> list[str]:
    """Return the sentences of ``gate check`` on what was measured."""
    series = str(reports / "latest" / "measurements.jsonl")
    done = written.cli(place, "gate", "check", "prod.feature", "--series", series, "--sandbox", "--json")
    assert done.returncode == 1, done.stderr
    windows = json.loads(done.stdout)["windows"]
    plain = written.cli(place, "gate", "check", "prod.feature", "--series", series, "--sandbox")
    sentences = [verdict["sentence"] for window in windows for verdict in window["verdicts"]]
    assert [each for each in sentences if each not in plain.stdout] == []
    return sentences


@pytest.mark.parametrize(
    ("annotation", "value", "fault", "says"),
    [
        ("error-rate", "0.05", "error rate 5% at 5%", "error rate at 5 %: FAIL"),
        pytest.param("p95-ms", "900", "p95 latency 900ms at 5%", "p95 latency at 5 %: FAIL", marks=pytest.mark.long),
    ],
)
def test_one_truth(places: Places, deploys: Deploys, annotation: str, value: str, fault: str, says: str) -> None:
    """A failed gate reads the same, with the same numbers, wherever it is told, and in a replay; rehearsed too."""
    place = places()
    written.profile(place)
    written.feature(place)
    run = written.start(deploys, place, *written.worse(annotation, value))
    assert run.end() == 1, run.out
    rehearsed = place.folder / "rehearsed"
    rehearsed.mkdir()
    done = written.rehearse(place, rehearsed, "--rehearse-fault", fault)
    assert done.returncode == 1, done.stdout
    for folder, console in ((run.folder, run.out), (rehearsed, done.stdout)):
        reports = folder / "reports"
        gates = json.loads((reports / "latest" / "deploy.json").read_text("utf-8"))["gates"]
        (failed,) = (each["sentence"] for each in gates if each["verdict"] == "FAIL")
        assert failed.startswith(says)
        told_everywhere(failed, reports, folder / "junit.xml", console)
        assert replayed(place, reports) == [each["sentence"] for each in gates]


def test_both_versions_bad(places: Places, deploys: Deploys) -> None:
    """Where the stable version fails as often the cause is the environment: taken back all the same, and said so."""
    place = places()
    stable = place.rollout()["status"]["stableRS"]
    place.sandbox.spoil(place.namespace, stable)
    written.profile(place)
    written.feature(place)
    run = written.start(deploys, place, *written.worse("error-rate", "0.5"))
    assert run.end() == 1, run.out
    assert "error rate at 5 %: FAIL" in run.out
    assert "the stable version breaches too" in run.note
    assert "so the canary need not be the reason" in run.note
    assert "because of environment" in run.out
    assert run.facts["rollbacks"][0]["started"]["cause"] == "environment"
    (failed,) = (each for each in run.facts["gates"] if each["verdict"] == "FAIL")
    assert (failed["cause"], failed["control"]["bad"] > 0) == ("environment", True)
    assert "ROLLED BACK, verified" in run.last
    rolled_back(place)


def test_series_of_the_whole_service(places: Places, deploys: Deploys) -> None:
    """Where versions can't be told apart each verdict says what hides: so it does at 5 %, and shows at 25 %."""
    place = places()
    written.profile(place)
    written.feature(place)
    whole = ("--deploy-set", "metrics.prometheus.version_label=null")
    run = written.start(deploys, place, *whole, *written.worse("error-rate", "0.05"))
    assert run.end() == 1, run.out
    assert "error rate at 5 %: PASS, 0.25 % <= 0.50 %" in run.out
    assert "error rate at 25 %: FAIL" in run.out
    hides = "a canary that fails up to 10.00 % of its requests would not show"
    for where, text in (("console", run.out), ("note", run.note)):
        assert hides in text, where
        assert "a canary that is too slow for up to 100.00 % of its requests would not show" in text, where
    first = run.facts["gates"][0]
    assert first["template_hash"] is None
    assert "the canary's own series can't be told apart" in run.note
    assert first["unseen_ratio"] == pytest.approx(0.1)
    rolled_back(place)


class Served(BaseHTTPRequestHandler):
    """Answers each GET, and keeps its label."""

    labels: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        """Count it."""
        self.labels.append(self.headers.get("X-Deploy-Load"))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def served() -> Iterator[str]:
    """Serve on this machine, and give the address."""
    Served.labels.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Served)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/health"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.long
def test_load_while_the_gates_watch(places: Places, deploys: Deploys, served: str) -> None:
    """Requests come while a gate watches, labelled with the deploy; each window's are on record; none comes after."""
    place = places()
    written.profile(place, f"load: {{http: {{url: '{served}', rate_per_s: 50}}}}\n")
    written.feature(place)
    whole = ("--deploy-set", "metrics.prometheus.version_label=null")
    run = written.start(deploys, place, *whole, *written.worse("error-rate", "0.05"))
    run.until(partial(run.says, "passed When 5% of the traffic"), "the first weight")
    assert run.end() == 1, run.out
    came = len(Served.labels)
    windows = [each for each in run.facts["gates"] if each["name"] == "error rate"]
    assert [each["where"] for each in windows] == ["at 5 %", "at 25 %"]
    watched_s = sum(each["watched_s"] for each in windows)
    assert 50 * watched_s * 0.8 < came < 50 * (watched_s + 6)
    assert set(Served.labels) == {run.facts["id"]}
    loads = {name: text for name, text in run.facts["facts"].items() if name.startswith("load")}
    counts = [int(text.partition(" requests")[0].rpartition(" ")[2].replace(",", "")) for text in loads.values()]
    assert sum(counts) == came, loads
    for text in loads.values():
        assert text in run.note.replace("\\", "")
    CLOCK.sleep(timedelta(seconds=1))
    assert len(Served.labels) == came


def refused(place: Place, run: Running, before: object, *says: str) -> None:
    """Assert exit status 4, what is said, and that nothing of the place was changed."""
    assert run.end() == 4, run.out
    assert "REFUSED, nothing changed" in run.last, run.last
    for words in says:
        assert words in run.out, run.out
    assert "next: " in run.out
    assert place.untouched() == before


def test_gates_that_could_never_be_judged_are_refused(places: Places, deploys: Deploys) -> None:
    """An unknown metric, one without series, a query that finds nothing: refused with the place, nothing changed."""
    place = places()
    before = place.untouched()
    cases = {
        "metric": ((), ("metrics.prometheus.requests_metric=no_such_total",), ("prod.feature:9: error rate: ",)),
        "cpu": (
            ('for 2 minutes "CPU throttling" stays at or below 20%',),
            ('metrics.queries."CPU throttling"={query: sum(no_such_periods), unit: "%"}',),
            ("prod.feature:9: CPU throttling: ",),
        ),
        "query": (
            ('for 2 minutes "queue depth" stays at or below 9 messages',),
            ('metrics.queries."queue depth"={query: sum(queue_depth), unit: messages}',),
            ("prod.feature:9: queue depth: ",),
        ),
    }
    started = []
    for name, (gates, options, says) in cases.items():
        here = replace(place, folder=place.folder / name)
        here.folder.mkdir()
        written.profile(here)
        written.feature(here, {5: gates or written.USUAL})
        chosen = (f"--deploy-set={text}" for text in options)
        started.append((written.start(deploys, here, *chosen), says))
    for run, says in started:
        refused(place, run, before, "these gates could not be judged", *says)


def test_too_little_traffic_is_refused(places: Places, deploys: Deploys) -> None:
    """With a request in a second no gate could pass: refused, with the window that would do; nothing changed."""
    place = places()
    place.kubectl("annotate", "rollout", SERVICE, f"{written.ANNOTATION}/rps=1", "--overwrite")
    before = place.untouched()
    written.profile(place)
    written.feature(place)
    CLOCK.sleep(timedelta(seconds=3))
    run = written.start(deploys, place)
    refused(
        place,
        run,
        before,
        "these gates could never pass",
        "prod.feature:8: error rate at 5 %: needs 11 requests, will have about 0",
        "would do (2 min is set)",
        "load section",
    )


@pytest.mark.long
def test_alerts_without_a_rule_are_refused(places: Places, deploys: Deploys) -> None:
    """A Prometheus that evaluates no alerting rule would never fire: the gate is refused; nothing changed."""
    place = places()
    before = place.untouched()
    with without_rules(place) as url:
        written.profile(place)
        config = place.folder / "deploy.sandbox.yaml"
        text = config.read_text("utf-8").replace(str(place.sandbox.facts["prometheus_url"]), url)
        digest = f"registry.sandbox.invalid/checkout-api@{digest_of('no rules')}"
        text = text.replace("registry.sandbox.invalid/checkout-api", digest)
        helm = f"tools: {{helm: {place.sandbox.binaries['helm3']}}}\n"
        (place.folder / "deploy.yaml").write_text(text + helm, "utf-8")
        config.unlink()
        written.feature(place, {5: (*written.USUAL, "for 2 minutes no alert of the service fires")})
        run = deploys.run(place, "prod.feature", env={"CI": "true", "KUBECONFIG": str(deployer(place))})
        refused(place, run, before, "prod.feature:11: firing alerts: no alerting rule is loaded and evaluated")


@contextmanager
def without_rules(place: Place) -> Iterator[str]:
    """Run a Prometheus that scrapes what the sandbox's does, and has no rule."""
    source = urlsplit(place.sandbox.facts["control_url"]).netloc
    port = free_ports(1)[0]
    config = place.folder / "prometheus.yaml"
    scrapes = [{"job_name": "traffic", "static_configs": [{"targets": [source]}]}]
    config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": scrapes}), "utf-8")
    argv = (
        place.sandbox.binaries["prometheus"],
        f"--config.file={config}",
        f"--storage.tsdb.path={place.folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    process = subprocess.Popen(argv)
    try:
        CLOCK.sleep(timedelta(seconds=5))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def test_the_same_version_in_another_namespace(places: Places, deploys: Deploys) -> None:
    """What fails in staging is no error of prod, though one Prometheus has both, and both run one pod template."""
    place, other = places(), places(install=False)
    subprocess.run(other.upgrade_argv(place.old), check=True, capture_output=True, timeout=60)
    eventually(lambda: other.pods() == {place.old: 20}, "it is ready there, too")
    version = place.rollout()["status"]["stableRS"]
    assert version == other.rollout()["status"]["stableRS"]
    other.sandbox.spoil(other.namespace, version)
    deploys.write(place)
    done = written.cli(place, "gate", "check", "prod.feature", "--watch", "--sandbox")
    assert "error rate at 100 %: PASS" in done.stdout, done.stdout
