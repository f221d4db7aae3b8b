"""Tables and columns as SQL, from the properties of `_schema` fields; a dialect says how its types are spelled."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reverie.errors import BadRequest, NotSupported
from reverie.model import JSON, is_true
from reverie.services.sql.catalogue import Column, Table
from reverie.services.sql.values import to_text

_RAW = re.compile(r"[a-z][a-z0-9_]{0,40}(?: [a-z]{1,20})?\s?\(\s?\d{1,6}\s?(?:,\s?\d{1,6}\s?)?\)", re.IGNORECASE)
_ACTIONS = frozenset({"CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION"})
_EXPRESSIONS = frozenset({"CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME"})
_LATER = ("picklist", "validation", "db_function", "alias", "is_virtual", "is_aggregate", "client_info")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """How one database writes what others write differently.

    Attributes:
        database: its name, for people.
        types: by abstract type, those without a length.
        identity: a key that counts itself, after its name; `counted` the same where it is one of several.
        counting: what makes an integer key count itself.
        national: the types of strings that ask for many bytes: varying and fixed.
        decimal: the type of numbers with a scale.
        truth: how false and true are written.
        longest: bytes of a name, beyond which the database would cut it without a word; 0 for no such limit.
        escapes: a backslash in a text must be doubled.
        touching: what sets a timestamp anew with each change of its row, after its default.
        constrains: a reference beside a column is not heeded; it must be a constraint of the table.
    """

    database: str
    types: Mapping[str, str]
    identity: str
    counted: str
    counting: str
    national: tuple[str, str]
    decimal: str = "decimal"
    truth: tuple[str, str] = ("0", "1")
    longest: int = 0
    escapes: bool = False
    constrains: bool = False
    touching: str = ""


def quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def create_table(spelling: Spelling, name: str, fields: Sequence[Mapping[str, JSON]]) -> list[str]:
    """``CREATE TABLE`` and its indexes. Raises as `Dialect.create_table` says."""
    if not fields:
        raise BadRequest(f"Table '{name}' needs at least one field.")
    _must_fit(spelling, name)
    names = [_name(field).lower() for field in fields]
    if twice := next((one for one in names if names.count(one) > 1), None):
        raise BadRequest(f"Field '{twice}' is named twice.")
    keys = [field for field in fields if is_true(field.get("is_primary_key")) or _type(field) in ("id", "pk")]
    lines = [_definition(spelling, field, alone=len(keys) == 1) for field in fields]
    if len(keys) > 1:
        lines.append(f"PRIMARY KEY ({', '.join(quoted(_name(field)) for field in keys)})")
    lines.extend(_references(field) for field in fields if _refers(field))
    return [f"CREATE TABLE {quoted(name)} ({', '.join(lines)})", *_indexes(name, fields)]


def add_column(spelling: Spelling, table: str, field: Mapping[str, JSON]) -> list[str]:
    """``ALTER TABLE ... ADD COLUMN`` and its indexes. Raises as `Dialect.add_column` says."""
    if _type(field) in ("id", "pk") or is_true(field.get("is_primary_key")):
        text = f"{spelling.database} cannot add a primary key to a table that exists"
        raise BadRequest(f"Field '{_name(field)}': {text}.")
    if not is_true(field.get("allow_null")) and field.get("default") is None:
        raise BadRequest(f"Field '{_name(field)}' of a table that exists needs allow_null or a default.")
    # The rows that exist have no reference; in this spelling SQLite accepts that too.
    inline = not spelling.constrains
    reference = f"{' ' if inline else ', ADD '}{_references(field, inline=inline)}" if _refers(field) else ""
    return [
        f"ALTER TABLE {quoted(table)} ADD COLUMN {_definition(spelling, field, alone=False)}{reference}",
        *_indexes(table, [field]),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A column as it shall be.

    Attributes:
        type: as the database spells it; None leaves it.
        allow_null: None leaves it.
        default: a literal or an expression; None leaves it.
        reference: what it refers to from now on, as a constraint; None leaves it.
    """

    type: str | None = None
    allow_null: bool | None = None
    default: str | None = None
    reference: str | None = None


_OF_TYPE: Final = frozenset({
    "type", "db_type", "length", "precision", "scale", "fixed_length", "supports_multibyte",
})  # fmt: skip
_OF_REFERENCE: Final = frozenset({"is_foreign_key", "ref_table", "ref_field", "ref_on_update", "ref_on_delete"})
CHANGEABLE: Final = _OF_TYPE | _OF_REFERENCE | {"allow_null", "default", "is_unique"}
"""Properties of a column that a change may be about."""


def change_of(
    spelling: Spelling, column: Column, field: Mapping[str, JSON], changed: Collection[str], *, inline: bool = False
) -> Change:
    """What has to become of *column* so that the properties in *changed* are as *field* gives them.

    Args:
        inline: a reference stands in the column's own definition.

    Raises:
        BadRequest: a property does not make sense; says which.
        NotSupported: a key that counts itself, a reference or a computed column would get another type, or a reference
            would be replaced.
    """
    name = column.real_name
    refers = not _OF_REFERENCE.isdisjoint(changed)
    if refers and column.ref_table:
        raise NotSupported(f"Field '{name}' refers to '{column.ref_table}' already: drop the field to change that.")
    spelled: str | None = None
    if not _OF_TYPE.isdisjoint(changed):
        if column.auto_increment or column.generated or column.ref_table:
            raise NotSupported(f"Field '{name}' counts itself, refers or is computed: its type cannot be changed.")
        spelled = _spelled(spelling, *_typed(column, field, changed))
    return Change(
        type=spelled,
        allow_null=is_true(field["allow_null"]) if "allow_null" in changed else None,
        default=literal(spelling, name, field["default"]) if "default" in changed else None,
        reference=_references({**field, "name": name}, inline=inline) if refers else None,
    )


def change_unique(table: Table, column: Column, *, unique: bool, named_on: bool = False) -> list[str]:
    """Statements after which no two rows have the same value, or may again.

    Args:
        named_on: the database drops an index by the name of its table, too.

    Raises:
        NotSupported: a constraint of the table says that values are unique, and not an index that was made here.
    """
    name = f"undx_{table.name}_{column.real_name}"
    if unique:
        return _indexes(table.name, [{"name": column.real_name, "is_unique": True}])
    if name not in table.uniques:
        raise NotSupported(f"Field '{column.real_name}' is unique by a constraint of its table, which stays.")
    return [f"DROP INDEX {quoted(name)}" + (f" ON {quoted(table.name)}" if named_on else "")]


def _typed(column: Column, field: Mapping[str, JSON], changed: Collection[str]) -> tuple[dict[str, JSON], str]:
    """The properties of the new type, and its name. What is not given stays, as long as the type does."""
    given = {key: field[key] for key in _OF_TYPE if field.get(key) not in (None, "", [])}
    found: dict[str, JSON] = {"name": column.real_name}
    kind = str(
        given.get("type") if "type" in changed else given.get("db_type") if "db_type" in changed else column.type
    )
    if kind.strip().lower() == column.type:
        found |= {"fixed_length": column.fixed_length, "supports_multibyte": column.supports_multibyte}
        found["scale"] = column.scale
        if not {"length", "precision"} & set(changed):
            found |= {"length": column.length, "precision": column.precision}
        given = {key: value for key, value in given.items() if key in changed}
    return {**found, **given}, kind.strip().lower()


def _name(field: Mapping[str, JSON]) -> str:
    name = field.get("name")
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise BadRequest("Every field needs a name.")
    return to_text("name", name.strip())


def _must_fit(spelling: Spelling, name: str) -> None:
    if spelling.longest and len(name.encode()) > spelling.longest:
        raise BadRequest(f"The name '{name[:20]}...' is too long: {spelling.database} takes {spelling.longest} bytes.")


def _type(field: Mapping[str, JSON]) -> str:
    kind = field.get("type") or field.get("db_type")
    if not isinstance(kind, str) or not kind.strip():
        raise BadRequest(f"Field '{_name(field)}' needs a type.")
    return kind.strip().lower()


def _refers(field: Mapping[str, JSON]) -> bool:
    return _type(field) in ("reference", "fk") or is_true(field.get("is_foreign_key"))


def _definition(spelling: Spelling, field: Mapping[str, JSON], *, alone: bool) -> str:
    """*alone*: the field is, if at all, the only one of the primary key."""
    name = _name(field)
    _must_fit(spelling, name)
    if later := next((one for one in _LATER if field.get(one)), None):
        raise NotSupported(f"Field '{name}': the property '{later}' is not supported yet.")
    kind = _type(field)
    if kind in ("id", "pk"):
        return f"{quoted(name)} {spelling.identity if alone else spelling.counted}"
    words = [quoted(name), _spelled(spelling, field, kind)]
    if not is_true(field.get("allow_null")):
        words.append("NOT NULL")
    if is_true(field.get("is_primary_key")) and alone:
        words.append(f"PRIMARY KEY{spelling.counting if is_true(field.get('auto_increment')) else ''}")
    default = field.get("default")
    if default is None and kind in ("timestamp_on_create", "timestamp_on_update"):
        words.append("DEFAULT CURRENT_TIMESTAMP" + (spelling.touching if kind == "timestamp_on_update" else ""))
    elif default is not None:
        words.append(f"DEFAULT {literal(spelling, name, default)}")
    return " ".join(words)


def _spelled(spelling: Spelling, field: Mapping[str, JSON], kind: str) -> str:
    if kind in ("reference", "fk"):
        return "integer"
    if kind == "string":
        words = spelling.national if is_true(field.get("supports_multibyte")) else ("varchar", "char")
        return f"{words[is_true(field.get('fixed_length'))]}({_size(field, 255)})"
    if kind in ("decimal", "numeric"):
        scale = field.get("scale")
        return f"{spelling.decimal}({_size(field, 10)},{_whole(field, 'scale', scale) if scale is not None else 0})"
    if spelled := spelling.types.get(kind):
        return spelled
    if _RAW.fullmatch(kind):
        return kind
    raise BadRequest(f"Field '{_name(field)}' has the unknown type {kind!r}.")


def _size(field: Mapping[str, JSON], default: int) -> int:
    for key in ("length", "precision", "size"):
        if (value := field.get(key)) is not None:
            return _whole(field, key, value)
    return default


def _whole(field: Mapping[str, JSON], key: str, value: JSON) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 7:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 999_999:
        raise BadRequest(f"Field '{_name(field)}': {key} must be a whole number up to 999999.")
    return value


def literal(spelling: Spelling, name: str, default: JSON) -> str:
    """A default as SQL; *name* is that of its field. Raises BadRequest."""
    if isinstance(default, dict):
        expression = str(default.get("expression", "")).strip().upper().removesuffix("()")
        if expression not in _EXPRESSIONS:
            raise BadRequest(f"Field '{name}': only {', '.join(sorted(_EXPRESSIONS))} may be a default expression.")
        return expression
    if isinstance(default, bool):
        return spelling.truth[default]
    if isinstance(default, int):
        return str(default)
    if isinstance(default, str) and "\0" not in default:
        default = default.replace("\\", "\\\\") if spelling.escapes else default
        return "'" + to_text(name, default).replace("'", "''") + "'"
    if isinstance(default, float) and abs(default) < 1e300:
        return repr(default)
    raise BadRequest(f"Field '{name}' has a default that is no single value.")


def _references(field: Mapping[str, JSON], *, inline: bool = False) -> str:
    table, column = field.get("ref_table"), field.get("ref_field")
    if not isinstance(table, str) or not isinstance(column, str) or not table or not column or "\0" in table + column:
        raise BadRequest(f"Field '{_name(field)}' refers to another table: it needs ref_table and ref_field.")
    text = "" if inline else f"FOREIGN KEY ({quoted(_name(field))}) "
    text += f"REFERENCES {quoted(to_text('ref_table', table))} ({quoted(to_text('ref_field', column))})"
    for key, words in (("ref_on_update", "ON UPDATE"), ("ref_on_delete", "ON DELETE")):
        action = field.get(key)
        if action is None:
            continue
        if str(action).upper() not in _ACTIONS:
            raise BadRequest(f"Field '{_name(field)}': {key} must be one of {', '.join(sorted(_ACTIONS))}.")
        text += f" {words} {str(action).upper()}"
    return text


def _indexes(table: str, fields: Sequence[Mapping[str, JSON]]) -> list[str]:
    statements = []
    for field in fields:
        name = _name(field)
        if is_true(field.get("is_unique")):
            statements.append(
                f"CREATE UNIQUE INDEX {quoted(f'undx_{table}_{name}')} ON {quoted(table)} ({quoted(name)})"
            )
        elif is_true(field.get("is_index")):
            statements.append(f"CREATE INDEX {quoted(f'ndx_{table}_{name}')} ON {quoted(table)} ({quoted(name)})")
    return statements
