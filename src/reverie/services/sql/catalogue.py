"""What a database holds, as values: tables, columns, keys. Read by a dialect, kept by `reflect`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from reverie.model import JSON
from reverie.services.sql.functions import Expression, Use

Rule: TypeAlias = "Callable[[JSON, bool], bool]"
"""Given a value that is written, and whether its record is new: whether the value is kept. Raises BadRequest."""

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
        stored: the name that the database knows, where an alias took its place in `name`.
        extra: what is kept beside the database, under the names of `_schema`.
        rules: what a value that is written must fulfil.
        bits: of an integer.
        virtual: there is none in the database: its value is what its function for SELECT says.
        functions: by their use, what the database makes of the column or of a value for it.
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
    stored: str | None = None
    extra: Mapping[str, JSON] = field(default_factory=dict, hash=False)
    rules: tuple[Rule, ...] = field(default=(), hash=False)
    virtual: bool = False
    functions: tuple[tuple[Use, Expression], ...] = ()

    def does(self, use: Use) -> bool:
        """Whether it has a function for that use."""
        return any(one == use for one, _ in self.functions)

    @property
    def real_name(self) -> str:
        """As the database and `_schema` name it."""
        return self.stored or self.name

    @property
    def required(self) -> bool:
        return not (self.allow_null or self.auto_increment or self.generated) and self.default is None


@dataclass(frozen=True, slots=True)
class Source:
    """A table some of whose columns have aliases or functions.

    Attributes:
        aliases: pairs of alias and stored name.
        functions: by column, as requests name it.
        virtual: columns that are nothing but their function.
    """

    name: str
    aliases: tuple[tuple[str, str], ...] = ()
    functions: tuple[tuple[str, tuple[tuple[Use, Expression], ...]], ...] = ()
    virtual: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table or view. Foreign keys and `uniques` name columns as the database does, `primary_key` as requests do.

    Attributes:
        uniques: column sets of its unique constraints, without the primary key.
        extra: what is kept beside the database about the table.
        related: the same about its relations, by name in lower case; virtual ones whole.
    """

    name: str
    is_view: bool = False
    columns: tuple[Column, ...] = ()
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    uniques: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extra: Mapping[str, JSON] = field(default_factory=dict, hash=False)
    related: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict, hash=False)
    source: str | Source = field(init=False, repr=False, compare=False)
    """What a statement names: the table, and its columns' stored names where they have aliases."""
    _by_name: dict[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {column.name.lower(): column for column in self.columns})
        aliases = tuple((column.name, column.stored) for column in self.columns if column.stored)
        functions = tuple((column.name, column.functions) for column in self.columns if column.functions)
        virtual = tuple(column.name for column in self.columns if column.virtual)
        plain = not aliases and not functions
        object.__setattr__(self, "source", self.name if plain else Source(self.name, aliases, functions, virtual))

    @property
    def shown(self) -> str:
        """The name in the paths of `_table`: the alias, if there is one."""
        return str(self.extra.get("alias") or self.name)

    def column(self, name: str) -> Column | None:
        """The column of that name, in any case."""
        return self._by_name.get(name.strip().lower())

    def stored_name(self, name: str) -> str | None:
        """How the database spells the column that it knows under that name; None when it has none."""
        found = self.real_column(name)
        return None if found is None or found.virtual else found.real_name

    def real_column(self, name: str) -> Column | None:
        """The column that the database knows under that name, in any case; also a virtual one."""
        name = name.strip().lower()
        return next((column for column in self.columns if column.real_name.lower() == name), None)

    def real_key(self) -> tuple[str, ...]:
        """The primary key as the database names it."""
        return tuple(column.real_name for name in self.primary_key if (column := self.column(name)))


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All tables and views of a database; `version` differs when the schema changed."""

    tables: Mapping[str, Table]
    version: int

    def table(self, name: str) -> Table | None:
        """The table that the database knows under that name, in any case."""
        return self.tables.get(name.lower())

    def shown(self, name: str) -> Table | None:
        """The table of that name in paths of `_table`, in any case: an alias takes the place of the name."""
        name = name.lower()
        found = self.tables.get(name)
        if found is not None and not found.extra.get("alias"):
            return found
        return next((table for table in self.tables.values() if table.shown.lower() == name), None)

    def shown_names(self) -> list[str]:
        return sorted(table.shown for table in self.tables.values())

    def names(self) -> list[str]:
        return sorted(table.name for table in self.tables.values())
