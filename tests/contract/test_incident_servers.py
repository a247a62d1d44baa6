"""Incidents and alerts, asked over HTTP: what is open says no, and what does not answer is never taken for "none"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

import pytest

from pytest_deploy.adapters.alertmanager import Alertmanager
from pytest_deploy.adapters.incidents import Incidents
from pytest_deploy.adapters.opsgenie import Opsgenie
from pytest_deploy.adapters.pagerduty import PagerDuty
from pytest_deploy.errors import (
    DeployError,
    Faulted,
    GateBreach,
    Refused,
    Rejected,
    RemoteError,
    Throttled,
    Unreachable,
)
from pytest_deploy.io.access import bearer
from pytest_deploy.io.clock import SystemClock
from pytest_deploy.ports import Capability
from pytest_deploy.testing.clock import FakeClock
from tests.contract.incident_servers import TOKEN, AlertmanagerServer, OpsgenieServer, PagerDutyServer, Server, serve
from tests.contract.vendor_servers import Bad

SERVICE = "service:checkout-api"
TIMEOUT = timedelta(seconds=5)


@dataclass(kw_only=True)
class Asked:
    """One vendor's server with the adapter that asks it, and how something is opened there."""

    server: Server
    ask: Callable[..., Capability]
    open: Callable[[], None]
    names: tuple[str, ...]

    def __call__(self) -> str:
        """Ask, and return the words."""
        return self.ask()(SERVICE).words


def pagerduty(server: PagerDutyServer, token: str = TOKEN, ids: tuple[str, ...] = ("PIJ90N7",)) -> Capability:
    """Return the adapter; time that it waits passes at once."""
    return PagerDuty(server.url, token=token, service_ids=ids, timeout=TIMEOUT, clock=FakeClock())


def opsgenie(server: OpsgenieServer, token: str = TOKEN) -> Capability:
    """As above."""
    return Opsgenie(server.url, api_key=token, timeout=TIMEOUT, clock=FakeClock())


def alertmanager(server: AlertmanagerServer, token: str = TOKEN) -> Capability:
    """As above."""
    return Alertmanager(
        server.url,
        service_label="service",
        timeout=TIMEOUT,
        clock=FakeClock(),
        headers={"Authorization": bearer(token)},
    )


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """End the servers with the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def duty(stack: ExitStack) -> PagerDutyServer:
    """A PagerDuty with one quiet service."""
    server = PagerDutyServer()
    stack.enter_context(serve(server))
    return server


@pytest.fixture
def genie(stack: ExitStack) -> OpsgenieServer:
    """An Opsgenie with an alert of another team."""
    server = OpsgenieServer()
    server.open("service:search-api")
    stack.enter_context(serve(server))
    return server


@pytest.fixture
def manager(stack: ExitStack) -> AlertmanagerServer:
    """An Alertmanager with the usual watchdog and an alert of another team."""
    server = AlertmanagerServer()
    server.fire("Watchdog", severity="none")
    server.fire("Slow", service="search-api")
    stack.enter_context(serve(server))
    return server


@pytest.fixture(params=["pagerduty", "opsgenie", "alertmanager"])
def asked(request: pytest.FixtureRequest) -> Asked:
    """Each of the three, quiet."""
    if request.param == "pagerduty":
        duty: PagerDutyServer = request.getfixturevalue("duty")
        return Asked(
            server=duty,
            ask=lambda *token: pagerduty(duty, *token),
            open=duty.open,
            names=("#1234 triggered, high urgency", "2026-11-24T09:30:42Z", "on fire", "/incidents/PT1234", "0 may be"),
        )
    if request.param == "opsgenie":
        genie: OpsgenieServer = request.getfixturevalue("genie")
        return Asked(
            server=genie,
            ask=lambda *token: opsgenie(genie, *token),
            open=lambda: genie.open(SERVICE),
            names=("#2 P1, not acknowledged", "2026-11-24T09:00:02Z", "in danger", "0 may be"),
        )
    manager: AlertmanagerServer = request.getfixturevalue("manager")
    return Asked(
        server=manager,
        ask=lambda *token: alertmanager(manager, *token),
        open=lambda: manager.fire("TooManyErrors", service="checkout-api", severity="page"),
        names=("TooManyErrors (page)", "2026-11-24T09:30:00.000Z", "5xx above 5 %", "0 may"),
    )


class TestEach:
    """What holds for all three."""

    def test_none_open(self, asked: Asked) -> None:
        """A service's quiet is said with what was asked, others' alerts are no matter."""
        words = asked()
        assert "no" in words
        assert any(named in words for named in ("PIJ90N7", SERVICE, 'service="checkout-api"'))

    def test_one_open(self, asked: Asked) -> None:
        """What is open is named, with since when and what to do; the whole list is attached."""
        asked.open()
        with pytest.raises(GateBreach) as caught:
            asked()
        for name in (*asked.names, "next: "):
            assert name in str(caught.value)
        (attached,) = caught.value.attachments
        assert attached.text.count("\n") == 0
        assert attached.text in str(caught.value)

    @pytest.mark.parametrize(
        ("bad", "error", "told"),
        [
            (Bad(status=503, body={"message": "down"}, headers={"retry-after": "600"}), Faulted, "503: down"),
            (Bad(status=429, body={"message": "slow down"}, headers={"retry-after": "600"}), Throttled, "429"),
            (Bad(status=403, body={"message": "Access denied"}), Rejected, "may not read there"),
            (Bad(body=b"<html>log in</html>"), Faulted, "an HTML page of 19 bytes"),
            (Bad(status=302, headers={"location": "https://login.example.com"}), Faulted, "redirect"),
            (Bad(body={}), Faulted, "answered with"),
            (Bad(body=[{"labels": {}}]), Faulted, "answered with"),
            (Bad(body={"data": "none"}), Faulted, "answered with"),
            (Bad(body=None), Faulted, "answered with"),
        ],
    )
    def test_no_answer_is_not_none(self, asked: Asked, bad: Bad, error: type[DeployError], told: str) -> None:
        """A server that fails, refuses or talks of other things ends in an error that says so."""
        asked.server.bad, asked.server.stuck = [bad], True
        with pytest.raises(error) as caught:
            asked()
        assert told in str(caught.value)

    def test_what_passes_is_asked_again(self, asked: Asked) -> None:
        """One 502, and one 429 with its own waiting time, change nothing."""
        asked.server.bad = [Bad(status=502, body=b"bad gateway"), Bad(status=429, headers={"retry-after": "1"})]
        assert "no" in asked()
        assert len(asked.server.asked) >= 3

    def test_a_wrong_key_is_told_and_not_shown(self, asked: Asked) -> None:
        """The credentials are named as what is wrong; their text is in no error."""
        with pytest.raises(Rejected) as caught:
            asked.ask("wr0ng-" + TOKEN)(SERVICE)
        assert "Authorization" in str(caught.value)
        assert "wr0ng" not in str(caught.value)

    def test_a_key_that_is_repeated_is_hidden(self, asked: Asked) -> None:
        """Even where the server repeats it."""
        asked.server.bad, asked.server.stuck = [Bad(status=400, body={"message": f"bad key {TOKEN}"})], True
        with pytest.raises(Rejected) as caught:
            asked()
        assert "bad key ***" in str(caught.value)
        assert TOKEN not in str(caught.value)

    def test_nobody_there(self, asked: Asked) -> None:
        """A server that is gone is unreachable."""
        asked.server.url = "http://127.0.0.1:9"
        with pytest.raises(Unreachable, match="does not answer"):
            asked()


class TestPagerDuty:
    """By service id."""

    def test_an_acknowledged_incident_is_open(self, duty: PagerDutyServer) -> None:
        """Somebody works on it: all the more it is no time for a deploy."""
        duty.open(status="acknowledged", urgency="low")
        with pytest.raises(GateBreach, match="#1234 acknowledged, low urgency"):
            pagerduty(duty)(SERVICE)

    def test_one_from_last_year_is_open(self, duty: PagerDutyServer) -> None:
        """Without date_range=all the API shows the last month only."""
        duty.open(created_at="2025-12-24T00:00:00Z")
        with pytest.raises(GateBreach, match="2025-12-24"):
            pagerduty(duty)(SERVICE)

    def test_resolved_ones_and_those_of_others_are_not(self, duty: PagerDutyServer) -> None:
        """They stop nothing."""
        duty.open(status="resolved")
        duty.services["PXYZ123"] = "active"
        duty.open(service="PXYZ123")
        assert "no open incident on Checkout (PIJ90N7)" in pagerduty(duty)(SERVICE).words

    def test_every_named_service_counts(self, duty: PagerDutyServer) -> None:
        """Both ids are sent, and each service is read."""
        duty.services["PXYZ123"] = "active"
        assert "PIJ90N7" in pagerduty(duty, ids=("PIJ90N7", "PXYZ123"))(SERVICE).words
        assert duty.asked[-1][1]["service_ids[]"] == ["PIJ90N7", "PXYZ123"]
        duty.open(service="PXYZ123")
        with pytest.raises(GateBreach):
            pagerduty(duty, ids=("PIJ90N7", "PXYZ123"))(SERVICE)

    def test_all_pages_are_read(self, duty: PagerDutyServer) -> None:
        """Of 230 incidents five are named, the rest is counted, and all are attached."""
        for _ in range(230):
            duty.open()
        with pytest.raises(GateBreach, match=r"(?s)^230 open .* and 225 more") as caught:
            pagerduty(duty)(SERVICE)
        assert caught.value.attachments[0].text.count("\n") == 229

    def test_an_unknown_id_is_refused(self, duty: PagerDutyServer) -> None:
        """Its list of incidents would be empty for ever."""
        with pytest.raises(Refused, match=r"(?s)no service P404.*incidents.pagerduty.service_ids"):
            pagerduty(duty, ids=("P404",))(SERVICE)

    def test_a_disabled_service_is_refused(self, duty: PagerDutyServer) -> None:
        """It opens no incident, so that none proves nothing; maintenance is told."""
        duty.services["PIJ90N7"] = "disabled"
        with pytest.raises(Refused, match="disabled"):
            pagerduty(duty)(SERVICE)
        duty.services["PIJ90N7"] = "maintenance"
        assert "in maintenance" in pagerduty(duty)(SERVICE).words

    def test_a_status_that_contradicts_the_list_is_no_answer(self, duty: PagerDutyServer) -> None:
        """A critical service without an incident: one of the two is not up to date."""
        duty.services["PIJ90N7"] = "critical"
        with pytest.raises(Faulted, match="of two minds"):
            pagerduty(duty)(SERVICE)

    @pytest.mark.parametrize(
        ("answers", "told"),
        [
            (({"service": {"id": "POTHER1", "name": "x", "status": "active"}},), "answered with service 'POTHER1'"),
            (({"service": []},), "answered without 'service'"),
            ((None, {"incidents": [], "more": True}), "an empty page, and says that more follow"),
            ((None, {"incidents": [{"id": "PT1"}], "more": False}), "an incident without 'incident_number'"),
            ((None, {"incidents": []}), "answered without 'more'"),
        ],
    )
    def test_an_answer_that_makes_no_sense_is_none(
        self, duty: PagerDutyServer, answers: tuple[object, ...], told: str
    ) -> None:
        """Another service's, a page that leads nowhere, an incident without a number: never "none"."""
        good = {"service": {"id": "PIJ90N7", "name": "Checkout", "status": "active"}}
        duty.bad = [Bad(body=good if answer is None else answer) for answer in answers]
        with pytest.raises(Faulted, match=told):
            pagerduty(duty)(SERVICE)


class TestOpsgenie:
    """By tag or alias."""

    @pytest.mark.parametrize(
        ("tags", "alias"),
        [(("Service:Checkout-API",), "x"), ((), SERVICE), ((), "checkout-api"), (("a", SERVICE), "x")],
    )
    def test_tag_and_alias(self, genie: OpsgenieServer, tags: tuple[str, ...], alias: str) -> None:
        """One of several tags, the alias, or the service's name as alias; capitals are no matter."""
        genie.open(*tags, alias=alias)
        with pytest.raises(GateBreach, match="1 open in Opsgenie"):
            opsgenie(genie)(SERVICE)

    @pytest.mark.parametrize("tag", ["service:checkout-api-2", "checkout-api", "my-service:checkout-api"])
    def test_a_tag_that_only_resembles_is_another(self, genie: OpsgenieServer, tag: str) -> None:
        """The server's search would find parts of words."""
        genie.open(tag)
        assert f"none of 2 open alerts is tagged {SERVICE}" in opsgenie(genie)(SERVICE).words

    def test_a_closed_one_is_over(self, genie: OpsgenieServer) -> None:
        """It stops nothing."""
        genie.open(SERVICE, status="closed")
        assert "none of 1 open alerts" in opsgenie(genie)(SERVICE).words

    def test_the_last_page_is_read(self, genie: OpsgenieServer) -> None:
        """The one that matters is the 301st of all that are open."""
        for _ in range(299):
            genie.open("service:search-api")
        genie.open(SERVICE)
        with pytest.raises(GateBreach, match="#301 "):
            opsgenie(genie)(SERVICE)
        assert [query["offset"] for _, query in genie.asked] == [["0"], ["100"], ["200"], ["300"]]

    def test_more_than_can_be_read_is_no_answer(self, genie: OpsgenieServer) -> None:
        """Paging ends at 20,000: what lies beyond is not taken for none."""
        page = [{"id": str(n), "tags": [], "status": "open"} for n in range(100)]
        genie.bad, genie.stuck = [Bad(body={"data": page})], True
        with pytest.raises(Faulted, match="more than 20000 open alerts"):
            opsgenie(genie)(SERVICE)


class TestAlertmanager:
    """By label."""

    def test_a_silenced_one_is_told(self, manager: AlertmanagerServer) -> None:
        """A person has spoken of it: it stops nothing, and is named."""
        manager.fire("Known", service="checkout-api", state="suppressed")
        words = alertmanager(manager)(SERVICE).words
        assert "1 silenced or inhibited: Known" in words

    def test_one_that_is_not_routed_yet_fires(self, manager: AlertmanagerServer) -> None:
        """Unprocessed is only young."""
        manager.fire("New", service="checkout-api", state="unprocessed")
        with pytest.raises(GateBreach, match="New"):
            alertmanager(manager)(SERVICE)

    def test_an_empty_one_says_that_it_knows_nothing(self, manager: AlertmanagerServer) -> None:
        """Without even a watchdog's alert it may be one that no Prometheus reaches."""
        manager.alerts.clear()
        assert "whether it is sent any is not known" in alertmanager(manager)(SERVICE).words


class TestAllOfThem:
    """Asked together."""

    def ask(self, duty: PagerDutyServer, genie: OpsgenieServer, manager: AlertmanagerServer) -> str:
        """Ask all three."""
        asked = {"PagerDuty": pagerduty(duty), "Opsgenie": opsgenie(genie), "Alertmanager": alertmanager(manager)}
        return Incidents(asked)(SERVICE).words

    def test_all_quiet(self, duty: PagerDutyServer, genie: OpsgenieServer, manager: AlertmanagerServer) -> None:
        """What each found stands in the step's line."""
        words = self.ask(duty, genie, manager)
        assert all(name in words for name in ("PagerDuty: ", "Opsgenie: ", "Alertmanager: "))

    def test_one_no_and_one_silent(
        self, duty: PagerDutyServer, genie: OpsgenieServer, manager: AlertmanagerServer
    ) -> None:
        """All that is open is told at once, and who did not answer beside it."""
        duty.open()
        manager.fire("TooManyErrors", service="checkout-api")
        genie.bad, genie.stuck = [Bad(status=500, headers={"retry-after": "600"})], True
        with pytest.raises(GateBreach) as caught:
            self.ask(duty, genie, manager)
        assert all(text in str(caught.value) for text in ("on fire", "TooManyErrors", "Opsgenie gave no answer"))
        assert len(caught.value.attachments) == 2
        assert caught.value.cause == "incident open"

    def test_silent_alone(self, duty: PagerDutyServer, genie: OpsgenieServer, manager: AlertmanagerServer) -> None:
        """Two that say "none" do not speak for the third."""
        genie.bad, genie.stuck = [Bad(status=500, headers={"retry-after": "600"})], True
        with pytest.raises(
            DeployError, match=r"(?s)is not known.*Opsgenie gave no answer, which is not the same as none"
        ):
            self.ask(duty, genie, manager)


def test_a_slow_answer_is_none_at_all(duty: PagerDutyServer) -> None:
    """By the real clock: the request ends with its time."""
    duty.bad, duty.stuck = [Bad(body={}, hang_s=1.5)], True
    slow = PagerDuty(
        duty.url, token=TOKEN, service_ids=("PIJ90N7",), timeout=timedelta(seconds=0.3), clock=SystemClock()
    )
    with pytest.raises(RemoteError, match="no answer within"):
        slow(SERVICE)
