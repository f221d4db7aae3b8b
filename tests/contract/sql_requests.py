"""Generated requests on the sample's tables, and what a statement may be made of."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from random import Random
from typing import Final, TypeVar

from reverie.database import Connection, Database, Row, Value
from reverie.model import JSON
from reverie.services.sql.catalogue import INTEGERS, NUMBERS, TIMES, Catalogue, Column, Table

T = TypeVar("T")

_TOKEN: Final = re.compile(
    r"\s+"
    r'|"(?P<double>(?:[^"]|"")*)"|`(?P<back>(?:[^`]|``)*)`'
    r"|(?P<word>[A-Za-z_]\w*)"
    r"|\$\d+|\?|%s|::|<=|>=|!=|<>|[(),.*=<>]"
)
_AGAIN: Final = re.compile(r"__\d+$")
"""What SQLAlchemy calls a column by that is read twice, behind its name."""
_WORDS: Final = frozenset(
    """
    select from where and or not in is null like as order by group asc desc nulls first last limit offset
    insert into values update set delete returning count sum avg min max cast text char bigint integer varchar
    case when then else end true false default lower concat count_1 for share
    """.split()  # noqa: SIM905 - a list of words to be read
)
"""Every word that is no name of a table or column."""


def foreign(sql: str, names: frozenset[str]) -> str:
    """The first part of a statement that is neither grammar, placeholder nor a name of the catalogue; ``""``: none.

    Numbers and texts are no part of that: a value has no other place than a placeholder.
    """
    at = 0
    while at < len(sql):
        found = _TOKEN.match(sql, at)
        if found is None:
            return sql[at : at + 40]
        quoted = found["double"] if found["double"] is not None else found["back"]
        if quoted is not None and _AGAIN.sub("", quoted.replace('""', '"').replace("``", "`")) not in names:
            return found[0]
        word = found["word"]
        if (
            word is not None
            and word.lower() not in _WORDS
            and not (_AGAIN.search(word) and _AGAIN.sub("", word) in names)
        ):
            return found[0]
        at = found.end()
    return ""


def names_in(catalogue: Catalogue) -> frozenset[str]:
    """Names that a statement may hold: of tables, columns and aggregates of columns."""
    columns = {column.real_name for table in catalogue.tables.values() for column in table.columns}
    labels = {f"{function}_{name}" for function in _FUNCTIONS for name in (*columns, "ALL")}
    return frozenset({table.name for table in catalogue.tables.values()} | columns | labels | {"check"})


class Recorder:
    """`Database` that notes each statement it passes on."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner
        self.dialect = inner.dialect
        self.statements: list[tuple[str, Sequence[Value]]] = []

    async def read(
        self, work: Callable[[Connection], Awaitable[T]], *, quick: bool = True, within: float | None = None
    ) -> T:
        return await self._inner.read(lambda raw: work(_Noting(raw, self.statements)), quick=quick, within=within)

    async def write(self, work: Callable[[Connection], Awaitable[T]], *, single: bool = False) -> T:
        return await self._inner.write(lambda raw: work(_Noting(raw, self.statements)), single=single)

    def changes(self) -> int:
        return self._inner.changes()

    async def close(self) -> None:
        await self._inner.close()

    def take(self) -> list[tuple[str, Sequence[Value]]]:
        """What was noted since the last time."""
        taken = list(self.statements)
        self.statements.clear()
        return taken


class _Noting:
    def __init__(self, inner: Connection, noted: list[tuple[str, Sequence[Value]]]) -> None:
        self._inner = inner
        self._noted = noted

    async def fetch(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        self._noted.append((sql, values))
        return await self._inner.fetch(sql, values)

    async def execute(self, sql: str, values: Sequence[Value] = ()) -> int:
        self._noted.append((sql, values))
        return await self._inner.execute(sql, values)

    async def execute_many(self, sql: str, values: Sequence[Sequence[Value]]) -> None:
        self._noted.append((sql, ()))
        await self._inner.execute_many(sql, values)

    def columns(self) -> Sequence[str]:
        return self._inner.columns()

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        return self._inner.savepoint()

    def __getattr__(self, name: str) -> object:
        """What only one database's connections have."""
        return getattr(self._inner, name)


# -- requests


@dataclass(frozen=True, kw_only=True)
class Made:
    """A request; `shape` is the same for two that differ in their values alone."""

    shape: str
    method: str
    resource: str
    parameters: Mapping[str, JSON]
    body: JSON = None
    values: Sequence[str] = ()


_FUNCTIONS: Final = ("SUM", "COUNT", "AVG", "MIN", "MAX")
_SYMBOLS: Final = ("=", "!=", "<>", "<", "<=", ">", ">=", " eq ", " NE ", " gt ", " lte ")
_PATTERNS: Final = (" like ", " not like ", " contains ", " starts with ", " ENDS WITH ")
_ODD: Final = (
    "'", '"', "''", "' or '1'='1", '" or ""="', "; drop table tag", "--", "/*", "*/", "\\", "%", "_", "$1", "?", "%s",
    ":x", "{town}", "{nope}", "é", "\U0001d518",
    "\u202e", "(", ")", ",", " and ", " or ", "null", "true", "0x10", "1e5", "\t",
)  # fmt: skip
JUNK: Final = (
    *_ODD, "id", "name", "unit_price", "nope", "1", "-1.5", "9" * 25, "=", "<", " in ", " is null", "*", "COUNT(*)",
    "SUM(in_stock)", " desc", " nulls last", "NaN", "Infinity", "2024-02-30", "\0", "\ud800",
)  # fmt: skip


@dataclass(kw_only=True)
class Generator:
    """Makes requests: most make sense, some are noise in one parameter."""

    catalogue: Catalogue
    random: Random
    relations: Mapping[str, Sequence[str]]
    _values: list[str] = field(default_factory=list)

    def twins(self) -> tuple[Made, Made]:
        """Two requests of one shape with values of their own."""
        seed = self.random.random()
        return self._of(seed, 0), self._of(seed, 1)

    def _of(self, seed: float, which: int) -> Made:
        shape, values = Random(seed), Random(f"{seed} {which}")
        self._values = []
        kind = shape.random()
        if kind < 0.7:
            made = _Reading(self, shape, values).made()
        elif kind < 0.8:
            made = _Writing(self, shape, values).made()
        else:
            made = _Reading(self, shape, values).spoiled()
        return Made(
            shape=made.shape, method=made.method, resource=made.resource, parameters=made.parameters, body=made.body,
            values=tuple(self._values),
        )  # fmt: skip

    def noted(self, value: str) -> str:
        self._values.append(value)
        return value


class _Part:
    """Parts of one request: what *shape* decides is the same in both twins, what *values* decides is not."""

    def __init__(self, maker: Generator, shape: Random, values: Random) -> None:
        self.maker = maker
        self.shape = shape
        self.values = values
        self.table: Table = shape.choice(list(maker.catalogue.tables.values()))
        self.parameters: dict[str, JSON] = {}
        self.params: dict[str, JSON] = {}

    def column(self) -> Column:
        return self.shape.choice(self.table.columns)

    def spelled(self, name: str) -> str:
        return self.shape.choice((name, name.upper(), f" {name} "))

    def value(self, column: Column) -> str:
        """A text that mostly fits the column's type, and is seldom found by chance."""
        pick = self.values.random()
        if column.type in INTEGERS:
            found = str(self.values.choice((self.values.randint(1, 12), self.values.randint(10**5, 10**8), -1)))
        elif column.type in NUMBERS:
            found = f"{self.values.uniform(0, 20):.2f}"
        elif column.type == "boolean":
            return self.values.choice(("true", "false", "yes", "0"))
        elif column.type in TIMES:
            found = f"20{self.values.randint(10, 30)}-{self.values.randint(1, 12):02}-{self.values.randint(1, 28):02}"
        elif column.type == "binary":
            found = "aGVsbG8="
        else:
            found = f"w{self.values.randint(10**4, 10**6)}"
            found = "".join((found, *self.values.choices(_ODD, k=self.values.randint(0, 3))))
        if pick < 0.02:
            return self.values.choice(JUNK)
        return self.maker.noted(found)

    def written(self, column: Column) -> str:
        """A value as it stands in a filter."""
        text = self.value(column)
        form = self.shape.random()
        if form < 0.4:
            doubled = text.replace("'", "''")
            return f"'{doubled}'"
        if form < 0.6:
            doubled = text.replace('"', '""')
            return f'"{doubled}"'
        if form < 0.8 or not text.isalnum():
            name = f"p{len(self.params)}"
            self.params[f":{name}"] = text
            return f":{name}"
        return text

    def comparison(self) -> str:
        column = self.column()
        name, kind = self.spelled(column.name), self.shape.random()
        if kind < 0.5:
            return f"({name}{self.shape.choice(_SYMBOLS)}{self.written(column)})"
        if kind < 0.7:
            listed = ",".join(self.written(column) for _ in range(self.shape.randint(1, 9)))
            return f"({name}{self.shape.choice((' in ', ' not in '))}({listed}))"
        if kind < 0.9:
            return f"({name}{self.shape.choice(_PATTERNS)}{self.written(column)})"
        return f"({name} {self.shape.choice(('is null', 'IS NOT NULL'))})"

    def filter(self, depth: int = 0) -> str:
        kind = self.shape.random()
        if depth > 3 or kind < 0.5:
            return self.comparison()
        if kind < 0.6:
            return f"not ({self.filter(depth + 1)})"
        word = self.shape.choice((" and ", " OR ", " && ", "||"))
        return "(" + word.join(self.filter(depth + 1) for _ in range(self.shape.randint(2, 3))) + ")"

    def some(self, names: Iterable[str], most: int = 4) -> str:
        known = list(names)
        return ",".join(self.spelled(name) for name in self.shape.choices(known, k=self.shape.randint(1, most)))

    def order(self, table: Table) -> str:
        ways = ("", " asc", " desc", " DESC nulls last", " nulls first", " sideways")
        columns = self.shape.choices(table.columns, k=self.shape.randint(1, 3))
        return ",".join(column.name + self.shape.choice(ways) for column in columns)

    def finished(self, method: str, resource: str, body: JSON = None) -> Made:
        if self.params:
            self.parameters["params"] = dict(self.params)
        shape = f"{method} {self.table.name} {sorted(self.parameters)}"
        return Made(shape=shape, method=method, resource=resource, parameters=dict(self.parameters), body=body)


class _Reading(_Part):
    def made(self) -> Made:
        resource = f"_table/{self.table.name}"
        kind = self.shape.random()
        if kind < 0.1:
            return self.finished("GET", f"{resource}/{self.value(self.table.columns[0])}")
        if kind < 0.2:
            column = self.column()
            self.parameters["id_field"] = column.name
            return self.finished("GET", f"{resource}/{self.value(column)}")
        if kind < 0.3:
            self.parameters["ids"] = [self.value(self.table.columns[0]) for _ in range(self.shape.randint(1, 4))]
            self.parameters["continue"] = self.shape.choice(("true", "false"))
            return self.finished("GET", resource)
        if self.shape.random() < 0.75:
            self.parameters[self.shape.choice(("filter", "where"))] = self.filter()
        if self.shape.random() < 0.2:
            self.group()
        elif self.shape.random() < 0.6:
            self.parameters[self.shape.choice(("fields", "select"))] = self.some(
                column.name for column in self.table.columns
            )
        if "group" not in self.parameters and self.shape.random() < 0.5:
            self.parameters["order"] = self.order(self.table)
        for name in ("limit", "offset"):
            if self.shape.random() < 0.4:
                self.parameters[name] = str(self.values.choice((1, 3, 25, 5000, 0, -1, 10**15)))
        for name in ("include_count", "count_only", "include_schema"):
            if self.shape.random() < 0.1:
                self.parameters[name] = "true"
        if self.shape.random() < 0.25:
            self.relate()
        if self.shape.random() < 0.1:
            self.parameters |= {"after": "", "offset": ""}
        return self.finished("GET", resource)

    def group(self) -> None:
        columns = [column.name for column in self.table.columns]
        grouped = self.shape.choices(columns, k=self.shape.randint(1, 2))
        sums = [
            f"{self.shape.choice(_FUNCTIONS)}({self.shape.choice(columns)})" for _ in range(self.shape.randint(0, 2))
        ]
        self.parameters |= {"group": ",".join(grouped), "fields": ",".join((*grouped, *sums, "count(*)"))}
        if self.shape.random() < 0.5:
            self.parameters["order"] = grouped[0]
        self.parameters["having"] = "COUNT(*) > 1"

    def relate(self) -> None:
        known = self.maker.relations[self.table.name]
        if not known:
            return
        names = self.shape.choices(known, k=self.shape.randint(1, 2))
        self.parameters["related"] = self.shape.choice((",".join(names), "*"))
        self.parameters[f"{names[0]}.limit"] = str(self.values.randint(1, 9))
        self.parameters[f"{names[0]}.fields"] = self.shape.choice(("*", "id", "name"))

    def spoiled(self) -> Made:
        """A sensible request with noise in one place; its twin has other noise, so they have no shape in common."""
        made = self.made()
        noise = "".join(self.values.choices(JUNK, k=self.values.randint(1, 5)))
        places = ["filter", "order", "group", "fields", "ids", "id_field", "related", "limit", "offset", "after"]
        place = self.values.choice([*places, "table", "id"])
        parameters, resource = dict(made.parameters), made.resource
        if place == "table":
            resource = f"_table/{noise}"
        elif place == "id":
            resource = f"_table/{self.table.name}/{noise}"
        else:
            parameters[place] = noise
        return Made(shape="", method="GET", resource=resource, parameters=parameters)


class _Writing(_Part):
    """Changes of some rows, and new ones; few, so that there is something left to read."""

    def made(self) -> Made:
        kind = self.shape.random()
        if kind < 0.4:
            self.table = self.maker.catalogue.tables[self.shape.choice(("tag", "category", "stock_event"))]
            return self.finished("POST", f"_table/{self.table.name}", {"resource": [self.record()]})
        record = self.record()
        resource = f"_table/{self.table.name}"
        if kind < 0.6:
            return self.finished("PATCH", f"{resource}/{self.value(self.table.columns[0])}", record)
        if kind < 0.8:
            self.parameters["filter"] = self.filter()
            self.parameters["fields"] = self.shape.choice(("*", "", self.column().name))
            return self.finished("PATCH", resource, {"resource": [record]})
        self.table = self.maker.catalogue.tables["tag"]
        self.parameters["filter"] = self.comparison()
        return self.finished("DELETE", "_table/tag")

    def record(self) -> dict[str, JSON]:
        columns = [column for column in self.table.columns if not column.is_primary_key] or list(self.table.columns)
        chosen = self.shape.sample(columns, k=self.shape.randint(1, len(columns)))
        record: dict[str, JSON] = {column.name: self.value(column) for column in chosen}
        if self.shape.random() < 0.1:
            record["nope"] = "1"
        return record
