"""The header ``traceparent``: what is carried on, and what is ignored."""

from __future__ import annotations

import pytest

from reverie.trace import next_span, read_trace, trace_id, trace_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize("text", [f"00-{TRACE}-{SPAN}-01", f" 00-{TRACE}-{SPAN}-01 "])
def test_a_valid_header_is_read(text: str) -> None:
    assert read_trace(text) == f"00-{TRACE}-{SPAN}-01"


def test_a_header_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert read_trace(f"cc-{TRACE}-{SPAN}-01-what-is-this") == f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "nonsense",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
    ],
)
def test_what_is_not_valid_is_ignored(text: str | None) -> None:
    assert read_trace(text) == ""


def test_a_call_without_a_trace_has_one_that_all_that_follows_from_it_shares() -> None:
    made = trace_of("", "request-1")

    assert read_trace(made) == made
    assert trace_of("", "request-1") == made
    assert trace_of("", "request-2") != made
    assert trace_of(f"00-{TRACE}-{SPAN}-01", "request-1") == f"00-{TRACE}-{SPAN}-01"


def test_a_call_to_elsewhere_is_the_same_trace_under_another_span() -> None:
    line = next_span(f"00-{TRACE}-{SPAN}-01")

    assert line.startswith(f"00-{TRACE}-")
    assert line.endswith("-01")
    assert SPAN not in line
    assert read_trace(line) == line


def test_a_line_of_the_log_names_the_trace_alone() -> None:
    assert trace_id(f"00-{TRACE}-{SPAN}-01") == TRACE
    assert trace_id("") is None
