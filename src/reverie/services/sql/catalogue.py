"""What a database holds, as values: tables, columns, keys. Read by a dialect, kept by `reflect`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reverie.model import JSON

INTEGERS = frozenset({"id", "reference", "integer", "smallint", "mediumint", "tinyint", "bigint", "user_id"})
NUMBERS = frozenset({"decimal", "double", "float", "money"})
TIMES = frozenset({"date", "time", "datetime", "timestamp", "datetimetz", "timetz", "timestamptz"})
TEXTS = frozenset({"string", "text", "uuid", "json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """`ref_columns` are named even where the database leaves them to the primary key."""

    name: str
    columns: tuple[str, ...]
    ref_table: str
    ref_columns: tuple[str, ...]
    on_update: str = "NO ACTION"
    on_delete: str = "NO ACTION"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        type: abstract type, the same words on every database (docs/reference/filters.md lists what each accepts).
        db_type: as the database spells it, lower case.
        default: a JSON value, or ``{"expression": text}``; None without one.
        generated: the database computes it; it cannot be written.
        bits: of an integer.
    """

    name: str
    type: str
    db_type: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    default: JSON = None
    allow_null: bool = True
    fixed_length: bool = False
    supports_multibyte: bool = False
    auto_increment: bool = False
    is_primary_key: bool = False
    is_unique: bool = False
    ref_table: str | None = None
    ref_field: str | None = None
    generated: bool = False
    bits: int = 64

    @property
    def required(self) -> bool:
        return not (self.allow_null or self.auto_increment or self.generated) and self.default is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table or view; `uniques` are the column sets of its unique constraints, without the primary key."""

    name: str
    is_view: bool = False
    columns: tuple[Column, ...] = ()
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    uniques: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    _by_name: dict[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {column.name.lower(): column for column in self.columns})

    def column(self, name: str) -> Column | None:
        """The column of that name, in any case."""
        return self._by_name.get(name.strip().lower())


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All tables and views of a database; `version` differs when the schema changed."""

    tables: Mapping[str, Table]
    version: int

    def table(self, name: str) -> Table | None:
        """The table of that name, in any case."""
        return self.tables.get(name.lower())

    def names(self) -> list[str]:
        return sorted(table.name for table in self.tables.values())
