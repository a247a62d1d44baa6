"""Text from outside is harmless in terminals, Markdown, HTML and chats."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.report.text import cell, clip, code, fence, markdown, plain


def test_control_is_taken_out() -> None:
    """Colours, cursor moves, titles, direction marks and half surrogates don't reach a reader."""
    assert plain("a\x1b[31mb\x1b]0;title\x07c\u202ed\u200be\x9bf") == "abcdef"
    assert plain("\udc80x").encode() == b"?x"
    assert plain("one\r\ntwo\tthree") == "one two three"
    assert plain("one\r\ntwo", lines=True) == "one\ntwo"


def test_markup_is_escaped() -> None:
    """Pipes, backticks, HTML, links, emphasis and chat commands are shown, not obeyed."""
    shown = markdown("a|b `c` <script> <!channel> **d** [e](f) # g & h_i_")
    assert shown == "a\\|b \\`c\\` &lt;script&gt; &lt;!channel&gt; \\*\\*d\\*\\* \\[e\\](f) \\# g &amp; h\\_i\\_"


def test_code_holds_what_is_in_it() -> None:
    """The delimiter is longer than any run of backticks within; a table's bar is escaped."""
    assert code("a``b") == "```a``b```"
    assert code("`a`") == "`` `a` ``"
    assert cell("a|b") == "`a\\|b`"
    assert code("") == "-"
    assert fence("x\n```\ny") == "````\nx\n```\ny\n````"
    assert code("<!channel> <@U1> <version>") == "`&lt;!channel> &lt;@U1> <version>`"


@given(st.text())
def test_no_block_ends_early(text: str) -> None:
    """No line of a code block's text looks like its end."""
    opening, *inside, closing = fence(text).split("\n")
    assert closing == opening
    assert all(not line.strip().startswith(opening) for line in inside)


@given(st.text())
def test_a_table_row_stays_one_row(text: str) -> None:
    """No text makes a second cell or line."""
    shown = markdown(text)
    assert "\n" not in shown
    assert "|" not in shown.replace("\\\\", "").replace("\\|", "")
    assert "<" not in shown


def test_what_is_cut_is_counted() -> None:
    """Long output says how much of it is missing, and where all of it is."""
    assert clip("abcdef", 4) == "abcd ... (2 characters more in deploy.json)"
    assert clip("abcd", 4) == "abcd"
