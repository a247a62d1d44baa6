"""What is wrong with a feature and its steps is said at collection: all at once, each with its place."""

from __future__ import annotations

STEPS = """
from pytest_bdd import given, parsers, step, then, when

@given("it is awaited")
async def _(): pass

@given("it is awaited and yields")
async def _():
    yield

@given(parsers.parse("it counts to {n:d}"))
def _(n): pass

@given("it is needy")
def _(nobody_has_this): pass

@given("it needs a needy fixture")
def _(needy): pass

@given("it needs what is injected")
def _(release): pass

@given(parsers.parse("it drops {what}"))
def _(): pass

@given("it takes a table")
def _(datatable): pass

@given(parsers.parse("it names its {datatable}"))
def _(datatable): pass

@given(parsers.parse("it is one of {one}"))
def one(one): pass

@given(parsers.re("it is (?P<kind>one) of two"))
def other(kind): pass

def small(text):
    if int(text) > 9:
        raise ValueError(f"{text} is more than 9")
    return int(text)

@given(parsers.parse("it is small: {n:Small}", extra_types={"Small": small}))
def _(n): pass
"""
FIXTURES = """
import pytest

@pytest.fixture
def needy(nobody_has_this_either): pass
"""


def test_ten_different_mistakes_are_ten_lines_of_one_collection_error(project) -> None:
    """A QA engineer sees the whole list at once, in the order of the file, and nothing has run."""
    project.write("steps/strange.py", STEPS)
    project.write(
        "features/ten.feature",
        """\
        Feature: ten mistakes

          Scenario: one
            Given the relaese "a"
            And it is awaited
            And it is one of two

          Scenario: two
            Whn 5% of the traffic goes to the canary

          Scenario: one
            Given the release "b"

          Scenario Outline: three at <weight>
            Given it is needy
            When <weight> of the traffic goes to the canary
            Then the error rate stays at or below <limit>

            Examples:
              | weight | unused |
              | 5%     | a      |
              | 25     | b      |

          Scenario Outline: four
            Given the release "c"
        """,
    )
    found = project.problems()
    assert [line.removeprefix("features/ten.feature:") for line in found] == [
        '4:5: Given the relaese "a": undefined step; nearest known: Given the release "<name>"',
        (
            "5:5: And it is awaited: its step function is async: nothing would await it, so it would pass "
            "(steps/strange.py:4)"
        ),
        "6:5: And it is one of two: ambiguous step: defined at steps/strange.py:32 and at steps/strange.py:35",
        (
            "8:3: scenario 'two' has no steps: it would pass; 'Whn 5% of the traffic goes to the canary' (line 9) "
            "is read as prose: did you mean 'When'?"
        ),
        "11:3: a second scenario named 'one' (the first: line 3): only one would run",
        (
            "15:5: Given it is needy: its step function needs 'nobody_has_this': no argument of its pattern, "
            "no known fixture"
        ),
        ("16:5: When 25 of the traffic goes to the canary: '25' has no unit: write '25%' (Examples row in line 22)"),
        "17:43: no Examples column of 'three at <weight>' fills <limit>",
        "20:18: no step of 'three at <weight>' uses <unused>",
        "24:3: outline 'four' has no Examples: it would run once, as it is written",
        "10 problems: nothing was run; `pytest-deploy steps` lists the known steps",
    ]


def one(project, steps: str, *, path: str = "features/x.feature") -> list[str]:
    """Collect a feature whose only scenario has these steps; the problems of the file, without its path."""
    project.write(path, "Feature: f\n  Scenario: s\n" + "".join(f"    {line}\n" for line in steps.splitlines()))
    return [line.removeprefix(f"{path}:") for line in project.problems()]


def test_what_would_fail_or_be_lost_inside_a_step_is_found(project) -> None:
    """Everything that pytest-bdd would raise, or drop, when the step is reached."""
    project.write("steps/strange.py", STEPS)
    project.write("conftest.py", (project.pytester.path / "conftest.py").read_text() + FIXTURES)
    steps = """\
Given it is awaited and yields
And it needs a needy fixture
And it needs what is injected
And it drops nothing
And it takes a table
And it names its table
And it is small: 12
And it counts to ten
Given the release "a"
\"\"\"
lost
\"\"\"
And it needs what is injected"""
    assert one(project, steps) == [
        (
            "3:5: Given it is awaited and yields: its step function is async: nothing would await it, "
            "so it would pass (steps/strange.py:7)"
        ),
        (
            "4:5: And it needs a needy fixture: its step function needs 'needy': no argument of its pattern, "
            "no known fixture"
        ),
        (
            "5:5: And it needs what is injected: its step function needs 'release': no argument of its pattern, "
            "no known fixture"
        ),
        "6:5: And it drops nothing: its step function does not take 'what' of its pattern (steps/strange.py:23)",
        (
            "7:5: And it takes a table: its step function needs 'datatable': no argument of its pattern, "
            "no known fixture"
        ),
        (
            "8:5: And it names its table: its pattern names an argument 'datatable', which pytest-bdd reserves "
            "(steps/strange.py:29)"
        ),
        (
            "8:5: And it names its table: its step function needs 'datatable': no argument of its pattern, "
            "no known fixture"
        ),
        "9:5: And it is small: 12: 12 is more than 9 (in 'Given it is small: <n>')",
        "10:5: And it counts to ten: undefined step; nearest known: Given it counts to <n>",
        (
            '11:5: Given the release "a": its step function takes no docstring: what stands below the step '
            "would be ignored"
        ),
        "10 problems: nothing was run; `pytest-deploy steps` lists the known steps",
    ]


def test_a_step_of_another_keyword_is_the_nearest(project) -> None:
    """`Given` for a `When` is undefined to pytest-bdd; the line says where the step is."""
    assert one(project, "Given 5% of the traffic goes to the canary")[0] == (
        "3:5: Given 5% of the traffic goes to the canary: undefined step; "
        "nearest known: When <weight> of the traffic goes to the canary"
    )


def test_a_step_like_nothing_known_says_so(project) -> None:
    """No far-fetched suggestion."""
    assert one(project, "Given xyzzy")[0] == "3:5: Given xyzzy: undefined step; no known step is like it"


def test_steps_that_became_prose_are_found_by_the_steps_they_are_like(project) -> None:
    """A mistyped first step, or a forgotten Background, vanishes from the run otherwise."""
    project.write(
        "features/x.feature",
        """\
        Feature: f
          The canary is given some of the traffic, and
          when the error rate rises it goes back.
          Given the release "a"

          Scenario: s
            Wehn 5% of the traffic goes to the canary
            Then the error rate stays at or below 5%
        """,
    )
    assert project.problems() == [
        (
            "features/x.feature:4:3: 'Given the release \"a\"' is read as prose: did you mean 'Given'? "
            'A known step is: Given the release "<name>"'
        ),
        (
            "features/x.feature:7:5: 'Wehn 5% of the traffic goes to the canary' is read as prose: "
            "did you mean 'When'? A known step is: When <weight> of the traffic goes to the canary"
        ),
        "2 problems: nothing was run",
    ]


def test_a_mistake_in_some_rows_names_the_row_and_in_all_rows_the_template(project) -> None:
    """Which row to mend; a mistake of the step itself is not repeated for each row."""
    project.write(
        "features/x.feature",
        """\
        Feature: f
          Background:
            Given the release
          Scenario Outline: s
            When <weight> of the traffic goes to the <where>
            Then it is <weight>
            Examples:
              | weight | where  |
              | 5%     | canary |
              | 25%    | moon   |
              | 50%    | moon   |
          Scenario: t
            Then two is three
        """,
    )
    known = "undefined step; nearest known: "
    assert project.problems() == [
        f'features/x.feature:3:5: Given the release: {known}Given the release "<name>"',
        (
            f"features/x.feature:5:5: When 25% of the traffic goes to the moon: {known}"
            "When <weight> of the traffic goes to the canary (Examples row in line 10 and 1 more)"
        ),
        "features/x.feature:6:5: Then it is <weight>: undefined step; no known step is like it",
        "3 problems: nothing was run; `pytest-deploy steps` lists the known steps",
    ]


def test_a_feature_that_does_not_parse_shows_each_syntax_error(project) -> None:
    """The parser's list, not only its head."""
    found = one(project, "Given b\nWhn c\nnonsense")
    assert found[0] == "4:5: unexpected 'Whn c': did you mean 'When'?"
    assert found[1].startswith("5:5: unexpected 'nonsense': expected")
    assert found[2] == "2 problems: nothing was run"


def test_each_feature_has_its_own_list_and_a_sound_one_does_not_run_either(project) -> None:
    """A collection error stops pytest before anything is deployed."""
    project.write("a.feature", 'Feature: a\n  Scenario: s\n    Given the release "a"\n')
    project.write("b.feature", "")
    project.write("c.feature", "Feature: c\n")
    result = project.run()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["b.feature:1:1: no Feature*", "c.feature:1:1: no scenario*"])


def test_steps_that_cannot_be_imported_are_the_problem_not_undefined_steps(project) -> None:
    """With the line that failed; for each feature below, since the import is tried once."""
    project.write("steps/bad.py", "import pytest_bdd\nimport no_such_module\n")
    project.write("steps/broken.py", "def f(:\n")
    project.write("steps/shy.py", "import pytest\n\npytest.skip('not here', allow_module_level=True)\n")
    project.write("steps/good.py", "from pytest_bdd import given\n\n@given('it is good')\ndef _(): pass\n")
    text = "Feature: f\n  Scenario: s\n    Given it is good\n    And it is bad\n"
    text += "    When 5 of the traffic goes to the canary\n"
    project.write("features/x.feature", text)
    project.write("features/y.feature", text)
    result = project.run()
    result.assert_outcomes(errors=2)
    missing = "cannot be imported, so its steps are missing: "
    wanted = [
        "features/{}.feature:5:5: When 5 of the traffic goes to the canary: '5' has no unit: write '5%'",
        f"steps/bad.py:2:1: {missing}ModuleNotFoundError: No module named 'no_such_module'",
        f"steps/broken.py:1:7: {missing}SyntaxError: invalid syntax",
        f"steps/shy.py:3:1: {missing}Skipped: not here",
        "4 problems: nothing was run; undefined steps are listed once all steps can be imported",
    ]
    result.stdout.fnmatch_lines([line.format(name) for name in "xy" for line in wanted], consecutive=False)
    result.stdout.no_fnmatch_line("*undefined step;*")


def test_a_scenario_that_pytest_would_not_take_is_not_lost(project) -> None:
    """A name that means something to Python is refused, not skipped in silence."""
    project.write("x.feature", 'Feature: f\n  Scenario: __doc__\n    Given the release "a"\n')
    assert project.problems() == ["x.feature: pytest does not take as a test: '__doc__' (line 2); give it another name"]


def test_two_definitions_in_one_folder_are_ambiguous_and_the_nearest_folder_wins(project) -> None:
    """As for fixtures; a function that is imported twice is one definition."""
    project.write(
        "steps/far.py",
        "from pytest_bdd import given, parsers\n\n"
        "@given(parsers.parse('it {x}'))\ndef far(x):\n    assert x == 'is far'\n",
    )
    project.write("conftest.py", "from shared import *\n")
    project.write("shared.py", "from pytest_bdd import given\n\n@given('shared')\ndef shared(): pass\n")
    project.write("steps/again.py", "from shared import *\n")
    project.write("features/steps/near.py", "from pytest_bdd import given\n\n@given('it is near')\ndef near(): pass\n")
    project.write(
        "features/x.feature",
        "Feature: f\n  Scenario: s\n    Given it is far\n    And it is near\n    And shared\n",
    )
    project.run().assert_outcomes(passed=1)
    project.write(
        "features/steps/nearer.py", "from pytest_bdd import given\n\n@given('it is near')\ndef near(): pass\n"
    )
    project.write("features/x.feature", "Feature: f\n  Scenario: s\n    Given it is near\n")
    assert project.problems("features")[0] == (
        "features/x.feature:3:5: Given it is near: ambiguous step: "
        "defined at features/steps/near.py:3 and at features/steps/nearer.py:3"
    )
