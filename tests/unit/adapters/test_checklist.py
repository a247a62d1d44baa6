"""The deployment checklist: what counts as an item, what as ticked, and that nothing is not everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.adapters.checklist import Checklist
from pytest_deploy.errors import GateBreach, Refused
from pytest_deploy.ports import Found


def read(tmp_path: Path, text: str) -> Found:
    """Write the list and read it."""
    path = tmp_path / "deployment-checklist.md"
    path.write_text(text, encoding="utf-8")
    return Checklist(path)("checkout-api")


@pytest.mark.parametrize(
    "text",
    [
        "- [x] one\n- [X] two\n",
        "* [x] one\n+ [x] two\n",
        "1. [x] one\n2) [x] two\n",
        "- [x] one\n  - [x] nested\n",
        "> - [x] one\n> - [x] quoted\n",
        "- [x] one\n- [x] two\n\n```\n- [ ] an example\n```\n",
        "~~~~\n- [ ] an example\n~~~\n- [ ] still one\n~~~~\n- [x] one\n- [x] two\n",
        "- [x] one\n<!-- - [ ] later\n- [ ] much later -->\n- [x] two\n",
        "\ufeff- [x] one\r\n- [x] two\r\n",
    ],
)
def test_all_ticked(tmp_path: Path, text: str) -> None:
    """In every form that a task list may have; code and comments hold no items."""
    found = read(tmp_path, text)
    assert found.words == "all 2 items of deployment-checklist.md are ticked"
    assert found.attachments[0].media_type == "text/markdown"


@pytest.mark.parametrize("mark", ["[ ]", "[]", "[-]", "[~]", "[?]", "[no]"])
def test_each_unticked_item_is_named(tmp_path: Path, mark: str) -> None:
    """With its line; brackets that hold anything but an x are not ticked."""
    with pytest.raises(GateBreach) as caught:
        read(tmp_path, f"# Before\n\n- [x] done\n- {mark} the runbook is up to date\n<!--\n-->\n  * [ ] nested\n")
    told = str(caught.value)
    assert "2 of 3 items of checkout-api's checklist are not ticked, 0 may be" in told
    assert "deployment-checklist.md:4: the runbook is up to date" in told
    assert "deployment-checklist.md:7: nested" in told
    assert "next: do them" in told
    assert caught.value.cause == "checklist"


@pytest.mark.parametrize(
    "text", ["", "# Nothing here\n", "- one\n- two\n", "- [link](https://example.com)\n", "[x] one\n"]
)
def test_a_list_without_items_is_not_complete(tmp_path: Path, text: str) -> None:
    """Nothing in it could be left to do, so it proves nothing."""
    with pytest.raises(Refused, match="has no item"):
        read(tmp_path, text)


def test_a_file_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    """Gone since the configuration was read, not text, or far too large: no answer, and never a yes."""
    with pytest.raises(Refused, match="can't be read"):
        Checklist(tmp_path / "gone.md")("checkout-api")
    (tmp_path / "latin.md").write_bytes(b"- [x] caf\xe9\n")
    with pytest.raises(Refused, match="can't be read"):
        Checklist(tmp_path / "latin.md")("checkout-api")
    with pytest.raises(Refused, match="at most 262144"):
        read(tmp_path, "- [x] one\n" * 30_000)


def test_what_an_item_says_reaches_no_terminal(tmp_path: Path) -> None:
    """Control characters are left out, and long items are cut."""
    with pytest.raises(GateBreach) as caught:
        read(tmp_path, f"- [ ] a\x1b[31mred {'x' * 400}\n")
    assert "\x1b" not in str(caught.value)
    assert len(max(str(caught.value).splitlines(), key=len)) < 350
