"""Changes between JSON values, and whether one fits another."""

from __future__ import annotations

import pytest

from reverie.events.difference import MOST, differences, fits
from reverie.model import JSON


def changed(path: str, before: JSON, after: JSON) -> JSON:
    return {"path": path, "change": "changed", "before": before, "after": after}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"a": 1}, {"a": 1}, []),
        (1, 1.0, []),
        (1, True, [changed("", 1, True)]),
        ({"a": {"b c": 1}}, {"a": {"b c": 2}}, [changed("a['b c']", 1, 2)]),
        ({"a": 1}, {}, [{"path": "a", "change": "removed", "before": 1}]),
        ({}, {"a": None}, [{"path": "a", "change": "added", "after": None}]),
        ([1, 2], [1], [{"path": "[1]", "change": "removed", "before": 2}]),
        ({"r": [{"q": 1}]}, {"r": [{"q": 2}]}, [changed("r[0].q", 1, 2)]),
        ({"r": []}, {"r": [3]}, [{"path": "r[0]", "change": "added", "after": 3}]),
        ({"a": []}, {"a": {}}, [changed("a", [], {})]),
    ],
)  # fmt: skip
def test_changes_are_told_path_by_path(before: JSON, after: JSON, told: JSON) -> None:
    assert differences(before, after) == told


def test_no_more_than_a_page_of_changes_is_told() -> None:
    assert len(differences([], list(range(MOST + 5)))) == MOST


@pytest.mark.parametrize(
    ("expected", "found", "good"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, True),
        ({"a": 1}, {}, False),
        ([1], [1, 2], False),
        ([{"a": 1}], [{"a": 1, "b": 2}], True),
        (None, None, True),
        (1, True, False),
        ({"a": None}, {}, False),
    ],
)
def test_maps_may_hold_more_than_expected_and_lists_may_not(expected: JSON, found: JSON, *, good: bool) -> None:
    assert fits(expected, found) is good
