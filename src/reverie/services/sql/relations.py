"""Relationships: those that follow from foreign keys, and those of our own, as `_schema` shows them."""

from __future__ import annotations

from collections.abc import Mapping

from reverie.model import JSON
from reverie.services.sql.catalogue import Catalogue, ForeignKey, Table

Relation = dict[str, JSON]


def label_of(name: str) -> str:
    """``unit_price`` → ``Unit Price``."""
    return " ".join(word[:1].upper() + word[1:] for word in name.split("_") if word)


def name_of(relation: Relation) -> str:
    """What a relation is called in requests and records: its alias, if it has one."""
    return str(relation["alias"] or relation["name"])


def relations(catalogue: Catalogue, table: Table, service_id: int) -> Mapping[str, Relation]:
    """Relations of *table* by name, in alphabetical order. Of two with the same name the last wins.

    Fields in them are named as the database does; `usable` translates. What is kept about them is laid over.

    ``{ref_table}_by_{field}`` belongs_to; ``{table}_by_{field}`` has_many, or has_one when the foreign key is unique;
    ``{third}_by_{table}`` many_many through any table with a further foreign key.
    """
    found: dict[str, Relation] = {}
    for key in table.foreign_keys:
        _add(found, service_id, "belongs_to", f"{key.ref_table}_by_{'_'.join(key.columns)}", key.columns, key, None)
    for other in catalogue.tables.values():
        for key in other.foreign_keys:
            if key.ref_table.lower() != table.name.lower():
                continue
            kind = "has_one" if _is_unique(other, key) else "has_many"
            name = f"{other.name}_by_{'_'.join(key.columns)}"
            _add(found, service_id, kind, name, key.ref_columns, key, other)
            for further in other.foreign_keys:
                if further is not key and further.ref_table.lower() != table.name.lower():
                    _add_far(found, service_id, other, key, further)
    lower = {name.lower(): name for name in found}
    for key_name, extra in table.related.items():
        derived = lower.get(key_name)
        if derived is not None and not extra.get("is_virtual"):
            found[derived] |= extra
        elif derived is None and _stands(catalogue, table, extra):
            kept = str(extra["name"])
            found[kept] = {**_relation(kept, str(extra["type"]), service_id), **extra, "ref_service_id": service_id}
    return dict(sorted(found.items()))


def _stands(catalogue: Catalogue, table: Table, extra: Mapping[str, JSON]) -> bool:
    """Whether a virtual relation still leads somewhere: what it names may have been dropped since."""
    ends: list[tuple[Table | None, str]] = [(table, "field")]
    ends.append((catalogue.table(str(extra.get("ref_table"))), "ref_field"))
    if extra.get("type") == "many_many":
        junction = catalogue.table(str(extra.get("junction_table")))
        ends += [(junction, "junction_field"), (junction, "junction_ref_field")]
    there = all(end is not None and end.real_column(str(extra.get(key))) for end, key in ends)
    return bool(extra.get("is_virtual")) and there


def usable(catalogue: Catalogue, table: Table, relation: Relation) -> Relation:
    """The relation with its fields named as records name them."""
    ends = (("field", table.name), ("ref_field", relation["ref_table"]))
    between = (("junction_field", relation["junction_table"]), ("junction_ref_field", relation["junction_table"]))
    translated: Relation = {}
    for key, end in (*ends, *between):
        other = catalogue.table(str(end)) if end else None
        if other is not None and relation[key]:
            columns = [(other.real_column(name), name) for name in str(relation[key]).split(",")]
            translated[key] = ",".join(column.name if column else name for column, name in columns)
    return {**relation, **translated}


def fetches_always(table: Table) -> bool:
    """Whether a record of the table never comes without certain related ones."""
    return any(extra.get("always_fetch") for extra in table.related.values())


def _is_unique(table: Table, key: ForeignKey) -> bool:
    columns = set(key.columns)
    return columns == set(table.real_key()) or any(columns == set(one) for one in table.uniques.values())


def _add(
    found: dict[str, Relation],
    service_id: int,
    kind: str,
    name: str,
    fields: tuple[str, ...],
    key: ForeignKey,
    other: Table | None,
) -> None:
    found[name] = _relation(name, kind, service_id) | {
        "field": ",".join(fields),
        "ref_table": key.ref_table if other is None else other.name,
        "ref_field": ",".join(key.ref_columns if other is None else key.columns),
        "ref_on_update": key.on_update,
        "ref_on_delete": key.on_delete,
    }


def _add_far(found: dict[str, Relation], service_id: int, junction: Table, near: ForeignKey, far: ForeignKey) -> None:
    name = f"{far.ref_table}_by_{junction.name}"
    found[name] = _relation(name, "many_many", service_id) | {
        "field": ",".join(near.ref_columns),
        "ref_table": far.ref_table,
        "ref_field": ",".join(far.ref_columns),
        "ref_on_update": far.on_update,
        "ref_on_delete": far.on_delete,
        "junction_service_id": service_id,
        "junction_table": junction.name,
        "junction_field": ",".join(near.columns),
        "junction_ref_field": ",".join(far.columns),
    }


def _relation(name: str, kind: str, service_id: int) -> Relation:
    """All keys, in the order they are shown."""
    return {
        "alias": None, "name": name, "label": label_of(name), "description": None, "native": [], "type": kind,
        "field": None, "is_virtual": False, "ref_service_id": service_id, "ref_table": None, "ref_field": None,
        "ref_on_update": None, "ref_on_delete": None, "junction_service_id": None, "junction_table": None,
        "junction_field": None, "junction_ref_field": None, "always_fetch": False, "flatten": False,
        "flatten_drop_prefix": False,
    }  # fmt: skip
