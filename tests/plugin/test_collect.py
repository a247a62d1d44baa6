"""Feature files as pytest items: names, selection, marks, fixtures, steps and what a failure looks like."""

from __future__ import annotations

import sys
from xml.etree import ElementTree as ET

import pytest

from pytest_deploy.collect import LABELS, FeatureModule

FEATURE = """\
@deploy @epic:Checkout
Feature: f

  Background:
    Given the release "a"

  Scenario: Pre-flight
    Given the release "b"

  @slow @team:pay:now
  Scenario Outline: Canary at <weight>
    When <weight> of the traffic goes to the canary
    Then the error rate stays at or below <limit>

    @first @story:S1
    Examples:
      | weight | limit |
      | 5%     | 0.5%  |

    Examples:
      | weight | limit |
      | 25%    | 0.1%  |

  Rule: ends
    Scenario: Two [of] a::b
      Then two is three

  Scenario: Broken
    Then the tool breaks
"""
IDS = [
    "features/x.feature::Pre-flight",
    "features/x.feature::Canary at <weight>[5%-0.5%]",
    "features/x.feature::Canary at <weight>[25%-0.1%]",
    "features/x.feature::Two (of) a:b",
    "features/x.feature::Broken",
]


@pytest.fixture
def features(project):
    """A project with one feature."""
    project.write("features/x.feature", FEATURE)
    return project


def ids(project, *args: str) -> list[str]:
    """The node ids that are collected."""
    return [line for line in project.run("--collect-only", "-q", *args).outlines if "::" in line]


def test_node_ids_are_the_scenarios_in_file_order(features) -> None:
    """`[`, `]` and `::` of a title would mean something in a node id, so they are replaced."""
    assert ids(features) == IDS


@pytest.mark.parametrize("node_id", IDS)
def test_each_node_id_selects_what_it_names(features, node_id) -> None:
    """Copied from a report to the command line."""
    assert ids(features, node_id) == [node_id]


def test_an_outline_without_its_row_selects_all_rows(features) -> None:
    """As for parametrized functions."""
    assert ids(features, "features/x.feature::Canary at <weight>") == IDS[1:3]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("-k", "Pre-flight"), IDS[:1]),
        (("-k", "canary and not 25"), IDS[1:2]),
        (("-m", "slow"), IDS[1:3]),
        (("-m", "first"), IDS[1:2]),
        (("-m", "deploy and not slow"), [IDS[0], *IDS[3:]]),
    ],
)
def test_scenarios_are_selected_by_name_and_by_tag(features, args, expected) -> None:
    """Tags of the feature, the scenario and the Examples are marks, strict markers or not."""
    assert ids(features, *args) == expected


def test_last_failed_runs_the_failed_ones_again(features) -> None:
    """Rows and replaced characters included."""
    features.run().assert_outcomes(passed=2, failed=3)
    result = features.run("--lf", "-v")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines([f"{node_id.replace('[', '[[]')} FAILED*" for node_id in IDS[2:]])


def test_labels_and_resolved_steps_are_on_the_items(features) -> None:
    """`k:v` tags become labels of the item, and every step is known before any runs."""
    items, _ = features.pytester.inline_genitems()
    assert [item.stash[LABELS] for item in items] == [
        (("epic", "Checkout"),),
        (("epic", "Checkout"), ("team", "pay:now"), ("story", "S1")),
        (("epic", "Checkout"), ("team", "pay:now")),
        (("epic", "Checkout"),),
        (("epic", "Checkout"),),
    ]
    assert not any(mark.name.startswith("epic") for item in items for mark in item.iter_markers())
    module = items[0].parent
    assert isinstance(module, FeatureModule)
    assert [
        (step.title, step.line, step.column, step.keyword, step.type, step.text) for step in module.resolved[2:8]
    ] == [
        ("Canary at 5%", 5, 5, "Given", "given", 'the release "a"'),
        ("Canary at 5%", 12, 5, "When", "when", "5% of the traffic goes to the canary"),
        ("Canary at 5%", 13, 5, "Then", "then", "the error rate stays at or below 0.5%"),
        ("Canary at 25%", 5, 5, "Given", "given", 'the release "a"'),
        ("Canary at 25%", 12, 5, "When", "when", "25% of the traffic goes to the canary"),
        ("Canary at 25%", 13, 5, "Then", "then", "the error rate stays at or below 0.1%"),
    ]
    canary = module.resolved[6]
    assert (canary.scenario, canary.example) == ("Canary at <weight>", {"weight": "25%", "limit": "0.1%"})
    assert (canary.args, canary.path) == ({"weight": 25.0}, module.path)
    assert canary.function.__code__.co_filename == str(features.pytester.path / "conftest.py")


def test_a_failure_begins_with_the_line_of_the_feature(features) -> None:
    """A gate or an error of ours shows its message only; anything else, the step function too."""
    result = features.run("-rf")
    result.stdout.fnmatch_lines(
        [
            "features/x.feature:13: Then the error rate stays at or below 0.1%",
            "E   error ratio 0.031 > 0.001",
            "*Two (of) a:b*",
            "features/x.feature:26: Then two is three",
            "",
            '*@then("two is three")',
            "*def _():",
            "*two = 2",
            ">*assert two == 3",
            "E*assert 2 == 3",
            "",
            "conftest.py:*: AssertionError",
            "*Broken*",
            "features/x.feature:29: Then the tool breaks",
            "E   helm: exit 1",
            "E     next: read its output",
            "*short test summary*",
            "FAILED features/x.feature::Canary*error ratio 0.031*",
            "FAILED features/x.feature::Two (of) a:b - AssertionError: assert 2 == 3",
            "FAILED features/x.feature::Broken - helm: exit 1",
        ],
        consecutive=False,
    )
    result.stdout.no_fnmatch_line("*pytest_bdd/scenario.py*")
    result.stdout.no_fnmatch_line("*call_fixture_func*")


def test_one_line_tracebacks_name_the_feature_line(features) -> None:
    """`--tb=line` is what editors and CI annotations read."""
    features.run("--tb=line").stdout.fnmatch_lines(["features/x.feature:13: error ratio 0.031 > 0.001"])


def test_junit_and_locations_point_into_the_feature_file(features) -> None:
    """JUnit's line counts from 0, as pytest's does."""
    features.run("--junitxml=junit.xml", "-o", "junit_family=xunit1")
    cases = ET.parse(features.pytester.path / "junit.xml").getroot().iter("testcase")
    found = [(case.get("file"), case.get("line"), case.get("name")) for case in cases]
    assert found == [
        ("features/x.feature", str(line - 1), node_id.partition("::")[2])
        for line, node_id in zip((7, 11, 11, 25, 28), IDS, strict=True)
    ]


def test_the_hook_is_called_when_all_steps_have_passed_and_may_fail_the_scenario(features) -> None:
    """What it raises shows at the scenario's line; it is not called after a failed step."""
    features.write(
        "hooks.py",
        """\
        import pytest

        class Specs:
            def pytest_deploy_scenario_passed(self, request, title): ...

        def pytest_addhooks(pluginmanager):
            pluginmanager.add_hookspecs(Specs)

        class Impl:
            def pytest_deploy_scenario_passed(self, request, title):
                print("passed:", request.node.name, title)
                assert title != "Canary at 5%", "it was not committed"

        def pytest_configure(config):
            config.pluginmanager.register(Impl())
        """,
    )
    result = features.run("-p", "hooks", "-s", "-rf")
    result.assert_outcomes(passed=1, failed=4)
    result.stdout.fnmatch_lines(
        [
            "*passed: Pre-flight Pre-flight",
            "*passed: Canary at <weight>[[]5%-0.5%] Canary at 5%",
            "features/x.feature:11: Scenario: Canary at 5%",
            "FAILED *5%-0.5%* - AssertionError: it w*",
        ],
        consecutive=False,
    )
    assert len([line for line in result.outlines if "passed: " in line]) == 2


def test_an_error_of_a_fixture_is_shown_at_the_scenario(features) -> None:
    """Set-up and teardown have no step; they say which of the two it was."""
    features.write(
        "features/conftest.py",
        """\
        import pytest
        from pytest_deploy.errors import Refused

        @pytest.fixture(autouse=True, scope="module")
        def deploy():
            raise Refused("an incident is open", hint="close it")
        """,
    )
    result = features.run("features/x.feature::Pre-flight")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "features/x.feature:7: Scenario: Pre-flight (setup)",
            "E   an incident is open",
            "E     next: close it",
        ],
        consecutive=True,
    )


def test_module_scope_is_the_feature(features) -> None:
    """One deploy fixture for all scenarios of a feature, another for the next feature."""
    features.write("features/y.feature", 'Feature: g\n  Scenario: s\n    Given the release "a"\n')
    features.write(
        "features/conftest.py",
        """\
        import pytest

        @pytest.fixture(autouse=True, scope="module")
        def deploy(request):
            print("begin", request.path.name)
            yield
            print("end", request.path.name)
        """,
    )
    lines = [line.lstrip(".F") for line in features.run("-s", "--tb=no", "-q").outlines]
    marks = [" ".join(line.split()[-2:]) for line in lines if "begin" in line or "end " in line]
    assert marks == ["begin x.feature", "end x.feature", "begin y.feature", "end y.feature"]


def test_team_steps_beside_and_above_are_loaded_with_their_fixtures_and_helpers(project) -> None:
    """Equal names do not clash, helpers are importable, assertions are rewritten, siblings see nothing."""
    project.write("steps/conftest.py", "raise RuntimeError('not loaded')\n")
    for where, text in (("steps", "far"), ("features/prod/steps", "near")):
        project.write(f"{where}/_helpers.py", f"WORD = {text!r}\n")
        project.write(
            f"{where}/same.py",
            f"""\
            import pytest
            from pytest_bdd import given
            from ._helpers import WORD

            @pytest.fixture
            def {text}_word():
                return WORD

            @given("it is {text}")
            def _({text}_word):
                assert {text}_word == {text!r}
                assert [1] == [2]
            """,
        )
    project.write(
        "features/prod/x.feature",
        "Feature: f\n Scenario: a\n  Given it is far\n Scenario: b\n  Given it is near\n",
    )
    project.write("features/other/y.feature", "Feature: f\n Scenario: a\n  Given it is near\n")
    result = project.run("features/prod")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["E*At index 0 diff: 1 != 2*", "steps/same.py:12: AssertionError"], consecutive=False)
    result.stdout.fnmatch_lines(["features/prod/steps/same.py:12: AssertionError"])
    assert project.problems("features/other")[0] == (
        "features/other/y.feature:3:3: Given it is near: undefined step; nearest known: Given it is far"
    )


def test_a_changed_file_is_read_again_in_the_same_process(project) -> None:
    """pytest-bdd keeps each feature for the life of the process."""
    for name in ("before", "after"):
        project.write("x.feature", f'\ufeffFeature: f\n  Scenario: {name}\n    Given the release "a"\n')
        assert ids(project) == [f"x.feature::{name}"]


def test_without_a_feature_file_no_parser_is_imported(pytester: pytest.Pytester) -> None:
    """The plugin's own import stays cheap."""
    code = "import sys, pytest_deploy.collect; print([m for m in ('gherkin', 'pytest_bdd') if m in sys.modules])"
    result = pytester.run(sys.executable, "-c", code)
    assert result.outlines == ["[]"]
