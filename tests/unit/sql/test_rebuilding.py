"""One definition of a CREATE TABLE is changed, and nothing else of it."""

from __future__ import annotations

import pytest

from reverie.errors import NotSupported
from reverie.services.sql.definitions import Change
from reverie.services.sql.dialects.sqlite.rebuilding import TEMPORARY, with_change

LONG = """CREATE TABLE "shop" (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, -- the key, (counted)
  [odd name] varchar(20) CONSTRAINT filled NOT NULL ON CONFLICT IGNORE DEFAULT 'it''s, (so)' COLLATE NOCASE,
  price decimal(10, 2) DEFAULT -1.5 CHECK (price > -2 AND price NOT NULL),
  `owner` integer REFERENCES person (id) ON DELETE SET NULL ON UPDATE SET DEFAULT,
  bare,
  day date DEFAULT (date('now', '-1 day')) UNIQUE, /* day, NOT NULL */
  twice integer GENERATED ALWAYS AS (id * 2) STORED,
  CONSTRAINT once UNIQUE (bare, day)
) STRICT"""


@pytest.mark.parametrize(
    ("column", "change", "old", "new"),
    [
        ("ODD NAME", Change(type="text"), "varchar(20) CONS", "text CONS"),
        ("odd name", Change(allow_null=True), " CONSTRAINT filled NOT NULL ON CONFLICT IGNORE", " "),
        ("odd name", Change(default="5"), "varchar(20) CONSTRAINT", "varchar(20) DEFAULT 5 CONSTRAINT"),
        (
            "price",
            Change(default="7", allow_null=False),
            "decimal(10, 2) DEFAULT -1.5",
            "decimal(10, 2) NOT NULL DEFAULT 7 ",
        ),
        ("price", Change(type="decimal(12,3)"), "decimal(10, 2)", "decimal(12,3)"),
        ("owner", Change(allow_null=False), "integer REFERENCES", "integer NOT NULL REFERENCES"),
        ("owner", Change(allow_null=True), "`owner`", "`owner`"),
        ("bare", Change(type="text", allow_null=False), "  bare,", "  bare text NOT NULL,"),
        ("day", Change(default="'x'"), "date DEFAULT (date('now', '-1 day')) UN", "date DEFAULT 'x'  UN"),
    ],
)
def test_only_the_column_is_made_otherwise(column: str, change: Change, old: str, new: str) -> None:
    assert old in LONG
    wanted = LONG.replace(old, new).replace('CREATE TABLE "shop"', f"CREATE TABLE {TEMPORARY}")
    if column == "odd name" and change.default:
        wanted = wanted.replace("DEFAULT 'it''s, (so)'", "")
    assert with_change(LONG, column, change) == wanted


@pytest.mark.parametrize("sql", ["CREATE VIRTUAL TABLE shop USING fts5 (bare)", "CREATE TABLE shop AS SELECT 1", ""])
def test_what_made_no_common_table_is_refused(sql: str) -> None:
    with pytest.raises(NotSupported):
        with_change(sql, "bare", Change(allow_null=True))
