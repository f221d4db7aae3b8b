from __future__ import annotations

import base64

import pytest

from reverie.errors import BadRequest
from reverie.model import JSON
from reverie.services.sql.validation import LONGEST_MATCHED, picklist_of, rules_of


def regexp(text: str) -> JSON:
    return {"regexp": base64.b64encode(text.encode()).decode()}


def kept(validation: JSON, value: JSON, *, creating: bool = True, picklist: JSON = None) -> bool:
    return all(rule(value, creating) for rule in rules_of("f", validation, picklist))


def refused(validation: JSON, value: JSON, *, creating: bool = True, picklist: JSON = None) -> str:
    with pytest.raises(BadRequest) as caught:
        kept(validation, value, creating=creating, picklist=picklist)
    return caught.value.message


@pytest.mark.parametrize(
    ("rule", "options", "good", "bad"),
    [
        ("not_null", [], ["", 0, False, "x"], [None]),
        ("not_empty", [], [None, "x", 1, True, "00"], ["", 0, "0", False, []]),
        ("not_zero", [], [None, "x", 1], ["", 0, "0", False]),
        (
            "email",
            [],
            [None, "", "a@example.com", "a.b+c@mail.example.org"],
            [
                "nope",
                "@example.com",
                "a@",
                "a@b",
                "a b@example.com",
                "a@example..com",
                "a@-x.com",
                5,
                "a@example.com\n",
            ],
        ),
        (
            "url",
            {"sections": ["path"]},
            [None, "", "https://example.com/a?b#c", "ftp://example.com", "mailto:a@example.com"],
            ["example.com", "http://", "//example.com", "http://exa mple.com", "http://[::1", 7, "https://ex.com/\n"],
        ),
        ("int", [], [None, 0, -5, "12", " 12", 3.0], ["x", "", 1.5, "1.5", True, [], "1_0", "nan", "1" * 401]),
        ("int", {"range": {"min": 0, "max": "500"}}, [0, 500, "7"], [-1, 501, "501", 1e300]),
        ("float", [], [None, 0, "0", 1.5, "-1e3"], ["x", "", "inf", "nan", True, {}, "1,5"]),
        ("float", {"decimal": ","}, ["1,5", 2], ["1;5"]),
        ("boolean", [], [None, True, False, 0, 1, "on", "No", ""], ["maybe", 2, []]),
        ("match", regexp("/^[A-Z]+$/"), [None, "ABC"], ["abc", "", 5]),
        ("match", regexp("#^[a-z]{2}$#i"), ["aB"], ["a", "a1"]),
        ("match", regexp("(b)"), ["abc", "b"], ["a", "b" * (LONGEST_MATCHED + 1)]),
        ("picklist", [], [None, "a", 1, "1"], ["b", "", "A"]),
        ("multi_picklist", [], ["a", "a,1", "a, 1"], ["b", "a,b", ""]),
        ("multi_picklist", {"delimiter": ";", "min": 2, "max": 3}, ["a;1", "a;a;1"], ["a", "a,1", "a;a;a;1"]),
        ("multi_picklist", {"min": 0}, ["", None], ["b"]),
    ],
)
def test_a_rule_lets_good_values_through_and_refuses_others(
    rule: str, options: JSON, good: list[JSON], bad: list[JSON]
) -> None:
    picklist: JSON = ["a", 1]

    assert [value for value in good if not kept({rule: options}, value, picklist=picklist)] == []
    for value in bad:
        assert "'f'" in refused({rule: options}, value, picklist=picklist)


def test_the_message_of_a_failure_is_the_one_that_was_set() -> None:
    assert refused({"not_empty": {"on_fail": "Company please"}}, "") == "Company please"


def test_a_value_that_is_to_be_ignored_is_left_out_without_an_error() -> None:
    assert kept({"email": {"on_fail": "ignore_field"}}, "nope") is False
    assert kept({"email": {"on_fail": "ignore_field"}}, "a@example.com") is True


def test_a_field_that_is_written_only_once_is_free_on_new_records() -> None:
    assert kept({"create_only": []}, "x", creating=True)
    assert "again" in refused({"create_only": []}, "x", creating=False)


def test_a_read_only_field_is_left_out_unless_the_rule_has_no_options_at_all() -> None:
    assert kept({"api_read_only": {"on_fail": "no"}}, "x") is False
    assert kept({"api_read_only": []}, "x") is False
    assert "can not be written" in refused({"api_read_only": None}, "x")


def test_every_rule_of_a_field_holds() -> None:
    both: JSON = {"not_null": [], "int": {"range": {"max": 5}}}

    assert kept(both, 5)
    assert refused(both, None)
    assert refused(both, 6)


@pytest.mark.parametrize(
    "validation",
    [
        "not_null",
        ["not_null"],
        {"unheard": []},
        {"int": {"range": {"min": "x"}}},
        {"match": []},
        {"match": {"regexp": "%%%"}},
        {"match": {"regexp": ""}},
        {"match": regexp("/^a")},
        {"match": regexp("/(/")},
        {"match": regexp("/a/q")},
        {"match": regexp("aba")},
    ],
)
def test_rules_that_make_no_sense_are_refused_with_the_field(validation: JSON) -> None:
    with pytest.raises(BadRequest, match="Field 'f'"):
        rules_of("f", validation, None)


def test_a_picklist_is_kept_as_a_list_whichever_way_it_was_sent() -> None:
    assert picklist_of("f", "a,b, c") == ["a", "b", "c"]
    assert picklist_of("f", ["a", 1]) == ["a", 1]
    assert picklist_of("f", "") is picklist_of("f", []) is picklist_of("f", None) is None
    with pytest.raises(BadRequest, match="'picklist'"):
        picklist_of("f", {"a": 1})
