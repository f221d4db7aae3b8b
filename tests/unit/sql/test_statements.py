"""The text of a statement depends on the shape of a request, never on its values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from reverie.errors import BadRequest
from reverie.services.sql.catalogue import Column, Table
from reverie.services.sql.filters import parse_filter
from reverie.services.sql.plan import bind, fields_of, order_of
from reverie.services.sql.statements import Aggregate, Count, Delete, Insert, Select, Statements, Update

TABLE = Table(
    name='od"d',
    columns=(
        Column(name="id", type="id", db_type="integer", is_primary_key=True, auto_increment=True),
        Column(name="name", type="string", db_type="varchar(60)"),
        Column(name='pri"ce', type="decimal", db_type="decimal(10,2)"),
    ),
    primary_key=("id",),
)
SQLITE: Dialect = sqlite.dialect(paramstyle="qmark")
POSTGRESQL: Dialect = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]  # theirs


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40), st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False))
def test_random_values_never_change_the_text(text: str, number: int, price: float) -> None:
    filters = '(name = :t) and ((id > :n) or (pri"ce <= :p)) and (name contains :t) and (id in (:n, :n))'
    tree = parse_filter(filters.replace('pri"ce', "price"), {"t": text, "n": number, "p": price})
    table = replace(TABLE, columns=(*TABLE.columns[:2], replace(TABLE.columns[2], name="price")))

    try:
        where, values = bind(table, tree)
    except BadRequest:  # half a character: refused before there is a statement
        assert any("\ud800" <= one <= "\udfff" for one in text)
        return
    sql = Statements(SQLITE).statement(Count(table=table.name, where=where)).sql

    assert sql == (
        'SELECT count(*) AS count_1 \nFROM "od""d" \nWHERE "od""d"."name" = ? AND ("od""d"."id" > ? OR '
        '"od""d"."price" <= ?) AND CAST("od""d"."name" AS TEXT) LIKE ? AND "od""d"."id" IN (?, ?)'
    )
    assert values == [text, number, price, f"%{text}%", number, number]


def test_the_same_shape_is_compiled_once() -> None:
    statements = Statements(SQLITE)
    first = Select(table="t", columns=("id",), where=bind(TABLE, parse_filter("id=1"))[0], paged=True)
    second = Select(table="t", columns=("id",), where=bind(TABLE, parse_filter("id=2"))[0], paged=True)

    assert statements.statement(first) is statements.statement(second)


def test_values_are_put_in_the_order_of_the_placeholders() -> None:
    where, _ = bind(TABLE, parse_filter("id=1"))
    check, _ = bind(TABLE, parse_filter("name='x'"))
    shape = Update(table="t", columns=("name",), where=where, returning=("id",), check=check)

    statement = Statements(SQLITE).statement(shape)

    assert statement.sql == 'UPDATE "t" SET "name"=? WHERE "t"."id" = ? RETURNING "id", "name" = ? AS "check"'
    assert list(statement.values(["new", 1, "x"])) == ["new", 1, "x"]


@pytest.mark.parametrize(
    ("compiler", "limit"), [(SQLITE, " LIMIT ? OFFSET ?"), (POSTGRESQL, " LIMIT $1::BIGINT OFFSET $2::BIGINT")]
)
def test_names_are_quoted_whatever_they_hold(compiler: Dialect, limit: str) -> None:
    columns = fields_of(TABLE, ('PRI"CE', "id"))
    shape = Select(table=TABLE.name, columns=columns, order=order_of(TABLE, "name desc nulls last"), paged=True)

    sql = Statements(compiler).statement(shape).sql.replace(" \n", "\n")

    assert sql == (
        'SELECT "od""d"."pri""ce", "od""d"."id"\nFROM "od""d" ORDER BY "od""d"."name" DESC NULLS LAST\n' + limit
    )


def test_other_shapes_compile_too() -> None:
    statements = Statements(SQLITE)
    insert = statements.statement(Insert(table="t", columns=("id", "name"), returning=("id",)))
    delete = statements.statement(Delete(table="t", where=None, returning=("id",)))
    sums = Select(table="t", columns=("name", Aggregate("SUM", "id"), Aggregate("COUNT", None)), group=("name",))

    assert insert.sql == 'INSERT INTO "t" ("id", "name") VALUES (?, ?) RETURNING "id"'
    assert delete.sql == 'DELETE FROM "t" RETURNING "id"'
    assert 'sum("t"."id") AS "SUM_id", count(*) AS "COUNT_ALL"' in statements.statement(sums).sql
