"""Shape → SQL text, compiled once per shape by the dialect's compiler. No value and no text of a request is in it.

A shape names columns as the catalogue does (its source tells which of them are aliases), and holds filter trees whose
values were taken out. The values are bound in the order: written columns, `where`, `check`, limit, offset.
"""

from __future__ import annotations

import operator as operators
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Dialect as SqlAlchemyDialect

from reverie.database import Value
from reverie.services.sql.catalogue import Source
from reverie.services.sql.filters import And, Applied, Compare, Filter, IsIn, IsNull, Matches, Not, Or
from reverie.services.sql.functions import Use, element

MOST_SHAPES: Final = 2048

Element: TypeAlias = "sa.ColumnElement[Any]"


@dataclass(frozen=True, slots=True)
class Order:
    column: str
    descending: bool = False
    nulls: Literal["first", "last"] | None = None


@dataclass(frozen=True, slots=True)
class Aggregate:
    """``SUM(column)``; without a column ``COUNT(*)``."""

    function: Literal["SUM", "COUNT", "AVG", "MIN", "MAX"]
    column: str | None

    @property
    def label(self) -> str:
        return f"{self.function}_{self.column or 'ALL'}"


@dataclass(frozen=True, slots=True)
class Exact:
    """A column as the text that says its value exactly, where the driver's number would not."""

    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """`paged`: a limit and an offset are bound at the end. `check` as of an Insert; with `locks` nobody else writes the
    rows until the transaction ends."""

    table: str | Source
    columns: tuple[str | Aggregate | Exact, ...]
    where: Filter | None = None
    group: tuple[str, ...] = ()
    order: tuple[Order, ...] = ()
    paged: bool = False
    check: Filter | None = None
    locks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    table: str | Source
    where: Filter | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert:
    """`check` is answered as a last column: whether the row as stored fulfils it.

    `key` and `counted` are for databases without RETURNING, which must find the row again: the primary key, and the
    column that counts itself.
    """

    table: str | Source
    columns: tuple[str, ...]
    returning: tuple[str, ...]
    check: Filter | None = None
    key: tuple[str, ...] = ()
    counted: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """`check` and `key` as of an Insert.

    `by`: the columns whose equality begins `where`; they do not change. With `exact` they are the primary key, and hold
    just what is bound for them, as whole numbers do: a text may equal another that is spelled otherwise.
    """

    table: str | Source
    columns: tuple[str, ...]
    where: Filter | None
    returning: tuple[str, ...]
    check: Filter | None = None
    key: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """`by` and `exact` as of an Update."""

    table: str | Source
    where: Filter | None
    returning: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    exact: bool = False


Shape: TypeAlias = "Select | Count | Insert | Update | Delete"


SHORT: Final = 0.001
"""Seconds up to which a statement may hold the event loop again and again."""
LONG_FOR: Final = 50
"""Runs after which a statement that was not short may be taken for short again."""


class Statement:
    """Compiled text, and how to arrange the values for its placeholders; and whether it is known to be short."""

    __slots__ = ("_arrange", "_constants", "_wait", "sql")

    def __init__(self, sql: str, positions: Sequence[int], constants: Sequence[Value] = ()) -> None:
        """*positions* below 0 are those of *constants*, -1 the last of them."""
        self.sql = sql
        self._constants = constants
        self._arrange = None if list(positions) == list(range(len(positions))) else tuple(positions)
        self._wait = 1  # runs until it counts as short

    @property
    def is_short(self) -> bool:
        """Whether it took little time lately, so that it is not worth a thread."""
        return self._wait <= 0

    def took(self, seconds: float) -> None:
        """A run lasted so long. One that is not short makes it count as long for a while."""
        self._wait = LONG_FOR if seconds > SHORT else self._wait - 1 if self._wait else 0

    def values(self, values: Sequence[Value]) -> Sequence[Value]:
        if self._arrange is None:
            return values
        return [values[at] if at >= 0 else self._constants[at] for at in self._arrange]


class Statements:
    """Compiles shapes and remembers *most* of them."""

    def __init__(self, compiler: SqlAlchemyDialect, *, most: int = MOST_SHAPES) -> None:
        self._compiler = compiler
        self._most = most
        self._known: dict[Shape, Statement] = {}
        self._changing = threading.Lock()  # units of work compile on the loop, in readers' threads and in the writer's

    def statement(self, shape: Shape) -> Statement:
        """The text for *shape*; the same shape has the same text for ever."""
        known = self._known.get(shape)
        if known is None:
            known = self._compile(shape)
            if not self._most:
                return known
            with self._changing:
                if len(self._known) >= self._most:
                    del self._known[next(iter(self._known))]
                self._known[shape] = known
        return known

    def _compile(self, shape: Shape) -> Statement:
        built = _Builder(shape.table, places_nulls=self._compiler.name != "mysql")
        compiled = built.build(shape).compile(dialect=self._compiler)
        order = compiled.positiontup or []
        constants = list(built.constants.values())
        positions = {name: at - len(constants) for at, name in enumerate(built.constants)} | built.binds
        return Statement(str(compiled), [positions[name] for name in order], constants)


class _Builder:
    """SQLAlchemy constructs for one shape; numbers the values as they appear."""

    def __init__(self, table: str | Source, *, places_nulls: bool = True) -> None:
        self.places_nulls = places_nulls
        self.table = sa.table(sa.sql.quoted_name(table if isinstance(table, str) else table.name, quote=True))
        self.stored: Mapping[str, str] = {} if isinstance(table, str) else dict(table.aliases)
        uses = () if isinstance(table, str) else table.functions
        self.functions = {(name, use): tree for name, some in uses for use, tree in some}
        self.virtual = () if isinstance(table, str) else table.virtual
        self.binds: dict[str, int] = {}
        self.constants: dict[str, Value] = {}

    def column(self, name: str) -> Element:
        return self.stored_column(self.stored.get(name, name))

    def bind(self, kind: sa.types.TypeEngine[Any] | None = None) -> sa.BindParameter[Any]:
        # A name no column can be taken for: SQLAlchemy keeps the columns' own names for itself.
        name = f"value {len(self.binds)}"
        self.binds[name] = len(self.binds)
        return sa.bindparam(name, type_=kind or sa.types.NullType())

    def constant(self, value: Value) -> Element:
        """Binds a value that belongs to a function, not to a request."""
        name = f"constant {len(self.constants)}"
        self.constants[name] = value
        return sa.bindparam(name, type_=_CONSTANTS.get(type(value), sa.types.NullType()))

    def stored_column(self, name: str) -> Element:
        """By the database's own name."""
        if name not in self.table.c:
            self.table.append_column(sa.column(sa.sql.quoted_name(name, quote=True)))
        return self.table.c[name]

    def shown(self, name: str) -> Element:
        """What is read of a column."""
        tree = self.functions.get((name, "SELECT"))
        if tree is None:
            return self.column(name)
        return element(tree, self.stored_column, self.constant).label(sa.sql.quoted_name(name, quote=True))

    def compared(self, name: str, applied: bool) -> Element:
        """What is compared of a column."""
        tree = self.functions.get((name, "FILTER")) if applied else None
        return self.column(name) if tree is None else element(tree, self.stored_column, self.constant)

    def written(self, name: str, use: Use) -> Element:
        """What is written into a column."""
        bound: Element = self.bind()
        tree = self.functions.get((name, use))
        return bound if tree is None else element(tree, self.stored_column, self.constant, lambda: bound)

    def build(self, shape: Shape) -> Any:
        match shape:
            case Select():
                return self.select(shape)
            case Count():
                return self.filtered(sa.select(sa.func.count()).select_from(self.table), shape.where)
            case Insert():
                filled = {self.column(name): self.written(name, "INSERT") for name in shape.columns}
                return self.with_returned(sa.insert(self.table).values(filled), shape.returning, shape.check)
            case Update():
                changed = {self.column(name): self.written(name, "UPDATE") for name in shape.columns}
                statement = self.filtered(sa.update(self.table).values(changed), shape.where)
                return self.with_returned(statement, shape.returning, shape.check)
            case Delete():
                return self.with_returned(self.filtered(sa.delete(self.table), shape.where), shape.returning, None)

    def select(self, shape: Select) -> Any:
        statement = self.filtered(sa.select(*map(self.selected, shape.columns)).select_from(self.table), shape.where)
        if shape.group:
            statement = statement.group_by(*(self.column(name) for name in shape.group))
        if shape.check is not None:
            statement = statement.add_columns(self.condition(shape.check).label("check"))
        statement = statement.order_by(*(part for order in shape.order for part in self.ordered(order)))
        if shape.paged:
            statement = statement.limit(self.bind(sa.BigInteger())).offset(self.bind(sa.BigInteger()))
        return statement.with_for_update() if shape.locks else statement

    def selected(self, one: str | Aggregate | Exact) -> Element:
        if isinstance(one, Exact):
            return sa.cast(self.column(one.column), sa.Text())
        return self.aggregate(one) if isinstance(one, Aggregate) else self.shown(one)

    def aggregate(self, one: Aggregate) -> Element:
        function = getattr(sa.func, one.function.lower())
        return function(sa.text("*") if one.column is None else self.column(one.column)).label(one.label)  # type: ignore[no-any-return]

    def ordered(self, order: Order) -> list[Element]:
        tree = self.functions[order.column, "SELECT"] if order.column in self.virtual else None
        what = self.column(order.column) if tree is None else element(tree, self.stored_column, self.constant)
        directed = what.desc() if order.descending else what.asc()
        if order.nulls and not self.places_nulls:
            missing = what.is_(None)
            return [missing.desc() if order.nulls == "first" else missing.asc(), directed]
        if order.nulls:
            return [directed.nulls_first() if order.nulls == "first" else directed.nulls_last()]
        return [directed]

    def filtered(self, statement: Any, where: Filter | None) -> Any:
        return statement if where is None else statement.where(self.condition(where))

    def with_returned(self, statement: Any, columns: Sequence[str], check: Filter | None) -> Any:
        elements = [self.shown(name) for name in columns]
        if check is not None:
            elements.append(self.condition(check).label("check"))
        return statement.returning(*elements) if elements else statement

    def condition(self, tree: Filter, applied: bool = False) -> Element:
        match tree:
            case And(parts):
                return sa.and_(*(self.condition(part, applied) for part in parts))
            case Or(parts):
                return sa.or_(*(self.condition(part, applied) for part in parts))
            case Not(part):
                return sa.not_(self.condition(part, applied))
            case Applied(part):
                return self.condition(part, True)
        what = self.compared(tree.field, applied)
        match tree:
            case IsNull():
                return what.is_(None)
            case IsIn(_, ()):
                return sa.false()  # SQLAlchemy would leave a mark for lists that it fills in later
            case IsIn(_, values):
                return what.in_([self.bind() for _ in values])
            case Matches():
                return sa.cast(what, sa.Text()).like(self.bind())
            case Compare(_, operator, _):
                return _COMPARE[operator](what, self.bind())


_CONSTANTS: Final[Mapping[type, sa.types.TypeEngine[Any]]] = {
    str: sa.String(), int: sa.Integer(), float: sa.Numeric(),
}  # fmt: skip
_COMPARE: Final[Mapping[str, Callable[[Element, Element], Element]]] = {
    "=": operators.eq, "!=": operators.ne, "<": operators.lt, "<=": operators.le, ">": operators.gt,
    ">=": operators.ge,
}  # fmt: skip
