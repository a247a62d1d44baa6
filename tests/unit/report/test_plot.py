"""Pictures: what they show, for every kind of gate and however much was read; text from outside stays text."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.domain.event import DeployStarted, Event, RollbackEnded
from pytest_deploy.domain.measurement import Kind, Objective, Reading
from pytest_deploy.domain.verdict import Verdict, VerdictKind
from pytest_deploy.report import overview, plot, svg
from pytest_deploy.report.record import Record
from tests.unit.report.conftest import ERRORS, P95, START, WINDOW, verdict

NS = "{http://www.w3.org/2000/svg}"
QUEUE = Objective(kind=Kind.QUERY, limit=100, subject="queue length", unit="messages")
SCRIPT = Objective(kind=Kind.SCRIPT, limit=0, subject="./scripts/check-slo.sh")
FAIL = verdict(ERRORS, 25, START + WINDOW, value=0.0312)


def _picture(told: Verdict, *, reached_s: float | None = -15) -> ET.Element:
    reached = None if reached_s is None else told.started + timedelta(seconds=reached_s)
    return ET.fromstring(plot.gate(told, reached, "one"))


def _texts(root: ET.Element) -> list[str]:
    return [each.text or "" for each in root.iter(f"{NS}text")]


def _drawn(root: ET.Element, kind: str) -> list[str]:
    return [each.attrib["d"] for each in root.iter(f"{NS}path") if each.attrib.get("class") == f"pd-{kind}"]


def _record(events: list[Event]) -> Record:
    first = events[0]
    assert isinstance(first, DeployStarted)
    made = Record(started=first)
    for event in events[1:]:
        made.apply(event)
    return made


def _numbers(path: str) -> list[float]:
    return [float(each) for each in re.findall(r"-?[0-9.]+", path)]


def test_a_gate_is_drawn_with_all_that_decided() -> None:
    """Value, exact interval, limit and stable version; the moments; axes with unit and times; the alternative text."""
    root = _picture(FAIL)
    assert root.attrib["role"] == "img"
    assert [each.text for each in root.iter(f"{NS}title")] == ["error rate at 25 %: FAIL"]
    assert [each.text for each in root.iter(f"{NS}desc")] == [FAIL.sentence]
    labels = {each.attrib["id"] for tag in ("title", "desc") for each in root.iter(NS + tag)}
    assert set(root.attrib["aria-labelledby"].split()) == labels
    texts = _texts(root)
    for said in ("error rate, %", "time, UTC, 2026-11-24", "25 %", "window begins", "verdict", "FAIL", "limit 0.50 %"):
        assert said in texts
    assert "3.12 % > 0.50 %; 150 bad of 4812; 2.62 points beyond the limit" in texts
    assert {"value", "95 % interval", "stable version"} <= set(texts)
    assert {"10:15", "10:20"} <= set(texts)
    for kind in ("value", "band", "control", "bad"):
        assert _drawn(root, kind)
    (limit, _) = _drawn(root, "limit")
    _, at_limit, _, _ = _numbers(limit)
    line = _numbers(_drawn(root, "value")[0])
    assert line[1::2][-1] < at_limit  # above it: the axis of a screen points down
    assert line[0::2] == sorted(line[0::2])


def test_it_reads_in_light_and_dark_and_loads_nothing() -> None:
    """Its own style knows both, its colours stand as attributes too, and nothing in it runs or is fetched."""
    text = plot.gate(FAIL, None, "one")
    assert "prefers-color-scheme:dark" in text
    root = ET.fromstring(text)
    assert {each.tag.removeprefix(NS) for each in root.iter()} == {
        "svg",
        "title",
        "desc",
        "style",
        "rect",
        "path",
        "text",
    }
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert all(
        "fill" in each.attrib or "stroke" in each.attrib for tag in ("path", "text") for each in root.iter(NS + tag)
    )


def test_what_the_page_styles_it_does_not_style_again() -> None:
    """Without its style it is otherwise the same."""
    text = plot.gate(FAIL, None, "one")
    bare = svg.without_style(text)
    assert "<style" not in bare
    assert len(bare) == len(text) - len(svg.CSS) - len("<style></style>")


def test_an_extension_is_a_moment() -> None:
    """It is marked where the first window ended, with how long it went on."""
    told = replace(FAIL, extended=WINDOW, decided=FAIL.decided + WINDOW)
    assert "extended by 5 min" in _texts(_picture(told))


@pytest.mark.parametrize(
    ("kind", "shape"), [(VerdictKind.PASS, "good"), (VerdictKind.FAIL, "bad"), (VerdictKind.NO_DATA, "open")]
)
def test_verdicts_differ_in_shape_and_words(kind: VerdictKind, shape: str) -> None:
    """Who sees no colours tells them apart all the same."""
    root = _picture(replace(FAIL, ruling=replace(FAIL.ruling, kind=kind)))
    assert len(_drawn(root, shape)) == 1
    assert kind.value in _texts(root)


def test_a_gap_is_a_gap() -> None:
    """Where there was no value the line is broken, and a single point between two gaps is a dot."""
    holes = {3, 5}
    history = tuple(
        replace(each, value=None, bad=None) if index in holes else each for index, each in enumerate(FAIL.history)
    )
    root = _picture(replace(FAIL, history=history))
    (*lines, key) = _drawn(root, "value")
    assert len(lines) == 3
    assert "h 4" in lines[1]
    assert key.startswith("M 46 ")
    assert len(_drawn(root, "band")) == 3


def _many(count: int) -> tuple[Reading, ...]:
    return tuple(replace(FAIL.history[0], at=START + WINDOW * (index + 1) / count) for index in range(count))


@pytest.mark.parametrize(("count", "most"), [(0, 0), (1, 1), (2, 2), (5_000, 120)])
def test_any_number_of_readings_can_be_drawn(count: int, most: int) -> None:
    """None, one, two; of very many only as many as can be told apart."""
    told = replace(FAIL, history=_many(count), reading=FAIL.reading if count else None, control=())
    root = _picture(told)
    paths = _drawn(root, "value")
    points = len(re.findall("[ML]", paths[0])) if count else 0
    assert points == most
    assert len(paths) == (2 if count else 0)
    assert "FAIL" in _texts(root)


def test_without_history_the_deciding_reading_is_a_dot() -> None:
    """A verdict whose history nobody kept shows what decided it."""
    dot, _ = _drawn(_picture(replace(FAIL, history=(), control=())), "value")
    assert "h 4" in dot


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-12, 1e12, 1e300, 1.7e308, -1.7e308, math.inf, math.nan])
def test_no_value_is_too_much(value: float) -> None:
    """Huge, tiny, negative and impossible numbers leave a picture whose coordinates are all inside it."""
    history = tuple(
        replace(each, value=value if index % 2 else 1.0, bad=None) for index, each in enumerate(FAIL.history)
    )
    root = _picture(replace(FAIL, objective=QUEUE, history=history, reading=history[-1]))
    for path in _drawn(root, "value") + _drawn(root, "limit"):
        assert all(0 <= number <= svg.WIDTH for number in _numbers(path))
    assert not {"nan", "inf"} & {word for text in root.iter(f"{NS}path") for word in text.attrib["d"].split()}


def test_units_are_the_objectives_own() -> None:
    """A latency is in ms and has no band; a query has its unit; an availability is drawn as such, the limit below."""
    latency = _picture(verdict(P95, 25, START + WINDOW, value=0.183))
    assert "p95 latency, ms" in _texts(latency)
    assert {"100", "200", "300"} <= set(_texts(latency))
    assert _drawn(latency, "band") == []
    assert "queue length, messages" in _texts(_picture(replace(FAIL, objective=QUEUE)))
    bare = _picture(replace(FAIL, objective=replace(QUEUE, unit="")))
    assert "queue length" in _texts(bare)
    available = _picture(replace(FAIL, objective=Objective(kind=Kind.AVAILABILITY, limit=0.05)))
    assert "availability, %" in _texts(available)
    ticks = [float(text) for text in _texts(available) if re.fullmatch(r"[0-9.]+", text)]
    assert 90 < min(ticks) <= max(ticks) <= 100
    at_limit = _numbers(_drawn(available, "limit")[0])[1]
    assert _numbers(_drawn(available, "value")[0])[-1] < at_limit


def test_a_relative_limit_moves_with_the_stable_version() -> None:
    """It is drawn over the control; with one reading of it, as a level; without any there is none."""
    relative = replace(FAIL, objective=replace(ERRORS, relative=True, limit=0.002))
    moving, _ = _drawn(_picture(relative), "limit")
    assert len(set(_numbers(moving)[1::2])) > 2
    level, _ = _drawn(_picture(replace(relative, control=relative.control[-1:])), "limit")
    assert len(set(_numbers(level)[1::2])) == 1
    assert _drawn(_picture(replace(relative, control=())), "limit") == []


def test_a_script_has_no_numbers_to_draw() -> None:
    """Its picture has the moments, the verdict, and says so."""
    root = _picture(replace(FAIL, objective=SCRIPT, history=(), reading=None, control=()), reached_s=None)
    assert "no numbers" in _texts(root)
    assert "unknown" in _texts(root)
    assert _drawn(root, "limit") == _drawn(root, "value") == []


def test_file_names_are_tame_and_tell_verdicts_apart() -> None:
    """Whatever a gate is called; the same gate twice at a weight gets a number."""
    odd = replace(FAIL, objective=replace(SCRIPT, subject="../../etc/<passwd> \u202e"))
    nameless = replace(FAIL, objective=replace(SCRIPT, subject="\u4e2d"), weight=None)
    assert plot.names([FAIL, FAIL, odd, nameless]) == (
        "25-error-rate.svg",
        "25-error-rate-2.svg",
        "25-etc-passwd.svg",
        "after-gate.svg",
    )


@given(name=st.text(min_size=1), unit=st.text(), rule=st.text())
def test_any_text_is_harmless(name: str, unit: str, rule: str) -> None:
    """Markup, quotes, control characters and lone surrogates from outside leave XML, and are only text in it."""
    objective = Objective(kind=Kind.QUERY, limit=5, subject=name, unit=unit)
    root = _picture(replace(FAIL, objective=objective, ruling=replace(FAIL.ruling, rule=rule), scenario=rule))
    assert len(list(root.iter(f"{NS}style"))) == 1
    assert {each.tag.removeprefix(NS) for each in root.iter()} <= {
        "svg",
        "title",
        "desc",
        "style",
        "rect",
        "path",
        "text",
    }


def test_long_names_stay_in_the_picture() -> None:
    """They are cut in what is drawn, and whole in the alternative text."""
    root = _picture(replace(FAIL, objective=replace(QUEUE, subject="x" * 500)))
    assert max(map(len, _texts(root))) <= 74
    assert "x" * 500 in str(next(root.iter(f"{NS}title")).text)


def test_a_weight_reached_long_before_is_not_drawn(good: list[Event]) -> None:
    """The window itself would be too narrow to be seen beside it."""
    made = _record(good)
    late = replace(made.verdicts[0], started=START + timedelta(hours=5), decided=START + timedelta(hours=5, minutes=5))
    made.verdicts[0] = late
    pictures = list(plot.pictures(made).values())
    assert "5 %" not in _texts(ET.fromstring(pictures[0]))
    assert "100 %" in _texts(ET.fromstring(pictures[2]))


def test_the_deploy_is_drawn_with_its_weights_and_verdicts(rolled_back: list[Event]) -> None:
    """Steps up to 25 %, and down to 0 where the rollback was seen; a mark for each verdict."""
    made = _record(rolled_back)
    root = ET.fromstring(overview.render(made))
    texts = _texts(root)
    assert "ROLLED BACK, verified: checkout-api to prod" in texts
    assert "error rate at 25 %: FAIL" in texts
    assert {"traffic to new version, %", "rollback", "0", "100"} <= set(texts)
    (desc,) = (each.text or "" for each in root.iter(f"{NS}desc"))
    assert desc.startswith("traffic to the new version: 0.0 %, 5.0 %, 25.0 %, 0.0 %; error rate at 5 %: PASS")
    assert all(each.sentence in desc for each in made.verdicts)
    # One of each shape more is in the key.
    assert (len(_drawn(root, "good")), len(_drawn(root, "bad")), len(_drawn(root, "open"))) == (3, 2, 1)
    heights = _numbers(_drawn(root, "value")[0])[1::2]
    assert heights[0] == heights[-1] == max(heights)


def test_where_the_traffic_is_unknown_the_line_ends(rollback_failed: list[Event]) -> None:
    """After a way back that failed nothing is drawn as if it were known."""
    whole = _record(rollback_failed)
    until = _record([each for each in rollback_failed if not isinstance(each, RollbackEnded)])
    for made in (whole, until):
        line = _numbers(_drawn(ET.fromstring(overview.render(made)), "value")[0])
        assert line[0::2][-1] < 465
        assert line[1::2][-1] < max(line[1::2])


def test_holds_and_decisions_are_drawn(promoted: list[Event]) -> None:
    """The time it was held is a band, and who decided stands at its end; dry runs are no verdicts."""
    made = _record(promoted)
    root = ET.fromstring(overview.render(made))
    assert {"promote by @kim", "held", "committed"} <= set(_texts(root))
    assert len(_drawn(root, "band")) == 1
    assert len(_drawn(root, "open")) == 3
    assert len(_drawn(root, "bad")) == 1
    undecided = _record(promoted[: next(i for i, each in enumerate(promoted) if type(each).__name__ == "Decided")])
    assert len(_drawn(ET.fromstring(overview.render(undecided)), "band")) == 1


def test_a_deploy_that_reached_nothing_can_be_drawn(hostile: list[Event]) -> None:
    """One event is enough, and hostile names are only text."""
    for events in (hostile[:1], hostile):
        root = ET.fromstring(overview.render(_record(events)))
        assert len(list(root.iter(f"{NS}style"))) == 1
        assert "<script>alert(1)</script>" in str(next(root.iter(f"{NS}title")).text)
