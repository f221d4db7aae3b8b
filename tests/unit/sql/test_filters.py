"""Filter text becomes a tree, or a clear refusal; nothing in between."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.errors import BadRequest
from reverie.model import JSON
from reverie.services.sql.filters import (
    MAX_COMPARISONS,
    MAX_ITEMS,
    MAX_LENGTH,
    And,
    Applied,
    Compare,
    Filter,
    IsIn,
    IsNull,
    Matches,
    Not,
    Or,
    condition,
    parse_filter,
)

ONE, TWO, THREE = Compare("id", "=", "1"), Compare("id", "=", "2"), Compare("name", "=", "x")

UNDERSTOOD: list[tuple[str, Filter | None]] = [
    ("", None),
    ("   ", None),
    ("id=1", ONE),
    ("ID   =   1", Compare("ID", "=", "1")),
    ("id<>1", Compare("id", "!=", "1")),
    ("id gte 9", Compare("id", ">=", "9")),
    ("id LT 9", Compare("id", "<", "9")),
    ('name="Rolled Oats"', Compare("name", "=", "Rolled Oats")),
    ("name=Rolled Oats", Compare("name", "=", "Rolled Oats")),
    ("name=O'Malley Mills", Compare("name", "=", "O'Malley Mills")),
    ("name='O''Malley Mills'", Compare("name", "=", "O'Malley Mills")),
    ("name=''", Compare("name", "=", "")),
    ("name='a>=b'", Compare("name", "=", "a>=b")),
    ("(name='x) AND (y')", Compare("name", "=", "x) AND (y")),
    ("name=Green Tea (loose)", Compare("name", "=", "Green Tea (loose)")),
    ("name=Salt and Pepper", Compare("name", "=", "Salt and Pepper")),
    ("name=(upper('x'))", Compare("name", "=", "(upper('x'))")),
    ("order date = 1", Compare("order date", "=", "1")),
    ("(id=1) or (id=2) and (name='x')", Or((ONE, And((TWO, THREE))))),
    ("((id=1) or (id=2)) and (name='x')", And((Or((ONE, TWO)), THREE))),
    ("id=1 or id=2", Or((ONE, TWO))),
    ("(id=1)OR(id=2)", Or((ONE, TWO))),
    ("(id=1) || (id=2)", Or((ONE, TWO))),
    ("(id=1)&&(id=2)", And((ONE, TWO))),
    ("name=Green Tea (loose) and id=1", And((Compare("name", "=", "Green Tea (loose)"), ONE))),
    ("NOT(id=1)", Not(ONE)),
    ("(id=1) AND NOT (id=2)", And((ONE, Not(TWO)))),
    ("(NOT (id=2)) AND (id=1)", And((Not(TWO), ONE))),
    ("id in (1,2)", IsIn("id", ("1", "2"))),
    ("id in(1, 'a,b')", IsIn("id", ("1", "a,b"))),
    ("id not in (1)", Not(IsIn("id", ("1",)))),
    ("name like '%Tea%'", Matches("name", "like", "%Tea%")),
    ("name not like x", Not(Matches("name", "like", "x"))),
    ("name contains 'Tea'", Matches("name", "contains", "Tea")),
    ("name STARTS  WITH S", Matches("name", "starts with", "S")),
    ("name ends with Jam", Matches("name", "ends with", "Jam")),
    ("sku is null", IsNull("sku")),
    ("(sku is NOT null) and (id=1)", And((Not(IsNull("sku")), ONE))),
    ("sku = null", Compare("sku", "=", "null")),
    ("notes = 1", Compare("notes", "=", "1")),
    ("inside = 1", Compare("inside", "=", "1")),
]


@pytest.mark.parametrize(("text", "tree"), UNDERSTOOD, ids=[text for text, _ in UNDERSTOOD])
def test_a_filter_becomes_this_tree(text: str, tree: Filter | None) -> None:
    assert parse_filter(text) == tree


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("name", 5),
        ("(id=1", 6),
        ("(id=1) AND ", 12),
        ("id=1)", 5),
        ("name=", 6),
        ("id in 1,2", 7),
        ("id in ()", 8),
        ("id in (1 2", 11),
        ("id between 1 and 3", 19),
        ("(id=1) XOR (id=2)", 8),
        ("name='x", 8),
        ("name='a' b", 10),
        ("'name'=1", 1),
        (")", 1),
        ("id=(1", 6),
    ],
)
def test_the_first_character_that_does_not_fit_is_named(text: str, position: int) -> None:
    with pytest.raises(BadRequest, match=f"at character {position}:"):
        parse_filter(text)


@pytest.mark.parametrize("params", [{":n": 5}, {"n": 5}])
def test_a_parameter_is_found_with_and_without_its_colon(params: dict[str, JSON]) -> None:
    assert parse_filter("id > :n", params) == Compare("id", ">", 5)
    assert parse_filter("id in (1, :n)", params) == IsIn("id", ("1", 5))
    assert parse_filter("name contains :n", params) == Matches("name", "contains", 5)


def test_an_unknown_parameter_is_plain_text() -> None:
    assert parse_filter("name = :n", {}) == Compare("name", "=", ":n")


def test_a_list_is_a_parameter_only_inside_in() -> None:
    assert parse_filter("id in (:n)", {"n": [1, 2]}) == IsIn("id", (1, 2))
    with pytest.raises(BadRequest, match="single values"):
        parse_filter("id = :n", {"n": [1, 2]})


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100 + "id=1" + ")" * 100,
        "not " * 20_000 + "id=1",
        "(" * 30_000,
        "id=" + "(" * 30_000,
        " or ".join(["id=1"] * (MAX_COMPARISONS + 1)),
        f"id in ({','.join(['1'] * (MAX_ITEMS + 1))})",
        "x" * (MAX_LENGTH + 1),
    ],
    ids=["deep", "nots", "open", "open value", "wide", "long list", "long"],
)
def test_what_is_too_large_is_refused_and_never_overflows_the_stack(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_filter(text)


PIECES = [
    "(",
    ")",
    "=",
    "<",
    ">=",
    "<>",
    ",",
    "'",
    '"',
    "%",
    "1",
    "&&",
    "||",
    "id",
    "name",
    "and",
    "not",
    "in",
    "like",
    "x",
]
ODD = (" ", " or ", "null", "contains", ":p", "is null", "starts with", "\0", "é", "\ud800")


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.lists(st.sampled_from([*PIECES, *ODD]), max_size=25).map("".join), st.text(max_size=60)))
def test_every_text_is_a_tree_or_a_bad_request(text: str) -> None:
    try:
        tree = parse_filter(text, {"p": 1})
    except BadRequest:
        assert text.strip()
    else:
        assert (tree is None) == (not text.strip())


NAMES = st.sampled_from(["id", "name", "unit_price"])
VALUES = st.text(alphabet="abc '()=,AND \"", max_size=12)
LEAVES: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Compare, NAMES, st.sampled_from(["=", "!=", "<", ">="]), VALUES),
    st.builds(Matches, NAMES, st.sampled_from(["like", "contains"]), VALUES),
    st.builds(IsIn, NAMES, st.lists(VALUES, min_size=1, max_size=3).map(tuple)),
    st.builds(IsNull, NAMES),
)
TREES = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        parts.map(Not),
        st.lists(parts, min_size=2, max_size=3).map(lambda found: And(tuple(found))),
        st.lists(parts, min_size=2, max_size=3).map(lambda found: Or(tuple(found))),
    ),
    max_leaves=8,
)


def written(tree: Filter) -> str:
    """The tree as a careful client writes it."""
    match tree:
        case Applied(part):
            return written(part)
        case And(parts):
            return " and ".join(f"({written(part)})" for part in parts)
        case Or(parts):
            return " OR ".join(f"({written(part)})" for part in parts)
        case Not(part):
            return f"not ({written(part)})"
        case IsNull(field):
            return f"{field} is null"
        case IsIn(field, values):
            return f"{field} in ({','.join(quoted(str(value)) for value in values)})"
        case Matches(field, pattern, value):
            return f"{field} {pattern} {quoted(str(value))}"
        case Compare(field, operator, value):
            return f"{field} {operator} {quoted(str(value))}"


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@settings(max_examples=200, deadline=None)
@given(TREES)
def test_a_tree_that_is_written_and_read_is_the_same(tree: Filter) -> None:
    assert parse_filter(written(tree)) == tree


def test_conditions_of_roles_take_operators_in_any_case() -> None:
    assert condition("a", "in", "1,2") == IsIn("a", ("1", "2"))
    assert condition("a", "NOT IN", "('x,y', z)") == Not(IsIn("a", ("x,y", "z")))
    assert condition("a", "contains", "'x'") == Matches("a", "contains", "x")
    assert condition("a", "IS NOT NULL", None) == Not(IsNull("a"))
    assert condition("a", ">", 50) == Compare("a", ">", 50)
    with pytest.raises(BadRequest, match="unknown operator"):
        condition("a", "~", "x")
