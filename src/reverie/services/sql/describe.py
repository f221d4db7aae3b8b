"""Tables and columns as `_schema` shows them; every key is always there, in one order."""

from __future__ import annotations

from reverie.model import JSON
from reverie.services.sql.catalogue import Catalogue, Column, Table
from reverie.services.sql.relations import label_of, relations


def describe_table(catalogue: Catalogue, table: Table, *, service_id: int, access: int) -> dict[str, JSON]:
    """The full object; *access* is the caller's verb mask."""
    return {
        "alias": table.extra.get("alias"),
        **head(table),
        "primary_key": list(table.real_key()),
        "name_field": table.extra.get("name_field"),
        "field": [describe_column(column) for column in table.columns],
        "related": list(relations(catalogue, table, service_id).values()),
        "constraints": _constraints(table),
        "access": access,
    }


def head(table: Table) -> dict[str, JSON]:
    """What lists of tables show beside the access."""
    extra = table.extra
    label = str(extra.get("label") or label_of(table.name))
    return {
        "name": table.name, "label": label, "description": extra.get("description"), "native": [],
        "plural": extra.get("plural") or plural(label), "is_view": table.is_view,
    }  # fmt: skip


def describe_column(column: Column) -> dict[str, JSON]:
    name, extra = column.real_name, column.extra
    found: dict[str, JSON] = {
        "alias": extra.get("alias"), "name": name, "label": extra.get("label") or label_of(name),
        "description": extra.get("description"), "native": [],
        "type": column.type, "db_type": column.db_type, "length": column.length, "precision": column.precision,
        "scale": column.scale, "default": column.default, "required": column.required,
        "allow_null": column.allow_null, "fixed_length": column.fixed_length,
        "supports_multibyte": column.supports_multibyte, "auto_increment": column.auto_increment,
        "is_primary_key": column.is_primary_key, "is_unique": column.is_unique, "is_index": False,
        "is_foreign_key": column.ref_table is not None, "ref_table": column.ref_table, "ref_field": column.ref_field,
        "ref_on_update": None, "ref_on_delete": None, "picklist": extra.get("picklist"),
        "validation": extra.get("validation"), "db_function": extra.get("db_function"), "is_virtual": column.virtual,
        "is_aggregate": False,
    }  # fmt: skip
    return found if extra.get("client_info") is None else {**found, "client_info": extra["client_info"]}


def plural(label: str) -> str:
    """English, near enough: ``Category`` → ``Categories``, ``Tax`` → ``Taxes``, ``Orders`` stays."""
    lower = label.lower()
    if lower.endswith("y") and lower[-2:-1] not in set("aeiou"):
        return label[:-1] + "ies"
    if lower.endswith(("ss", "x", "z", "ch", "sh")):
        return label + "es"
    return label if lower.endswith("s") else label + "s"


def _constraints(table: Table) -> dict[str, JSON]:
    found: dict[str, JSON] = {}
    for key in table.foreign_keys:
        found[key.name] = {
            "table_name": table.name, "column_name": list(key.columns), "constraint_name": key.name,
            "constraint_type": "FOREIGN KEY", "referenced_table_name": key.ref_table,
            "referenced_column_name": list(key.ref_columns), "update_rule": key.on_update,
            "delete_rule": key.on_delete,
        }  # fmt: skip
    for name, columns in table.uniques.items():
        found[name.lower()] = {
            "table_name": table.name, "column_name": list(columns), "constraint_name": name,
            "constraint_type": "UNIQUE",
        }  # fmt: skip
    return found
