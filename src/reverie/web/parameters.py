"""``a=1&b[]=2&c[d]=3`` → a map. Queries and form bodies are written in this way."""

from __future__ import annotations

from typing import Final, TypeAlias
from urllib.parse import unquote_plus

from reverie.errors import BadRequest
from reverie.model import JSON

MOST_NESTED: Final = 64
"""Brackets that may follow a name."""

_Tree: TypeAlias = "dict[str, str | _Tree]"


def read_parameters(text: str) -> dict[str, JSON]:
    """``a[]=1&a[]=2`` is a list, ``a[b]=1`` a map, ``a[0][b]=1`` a list of maps, everything else text.

    The last one of a name wins. What is no UTF-8 becomes U+FFFD.

    Raises:
        BadRequest: nested deeper than `MOST_NESTED`.
    """
    tree: _Tree = {}
    nested = False
    for pair in text.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        if "%" in name or "+" in name:
            name = unquote_plus(name, errors="replace")
        if "%" in value or "+" in value:
            value = unquote_plus(value, errors="replace")
        if "[" in name:
            nested = True
            _put(tree, name, value)
        else:
            tree[name] = value
    if nested:
        return {name: _finished(value) for name, value in tree.items()}
    return tree  # type: ignore[return-value]  # without brackets it holds texts only


def _put(tree: _Tree, name: str, value: str) -> None:
    keys = _keys(name)
    for key in keys[:-1]:
        child = tree.get(_place(tree, key))
        if not isinstance(child, dict):
            child = tree[_place(tree, key)] = {}
        tree = child
    tree[_place(tree, keys[-1])] = value


def _place(tree: _Tree, key: str) -> str:
    """The key itself, or for ``[]`` the next number that is free."""
    if key:
        return key
    number = len(tree)
    while str(number) in tree:
        number += 1
    return str(number)


def _keys(name: str) -> list[str]:
    """``a[b][]`` → a, b and the empty text; a name whose brackets do not match is one key."""
    first, _, rest = name.partition("[")
    if not first or not rest.endswith("]"):
        return [name]
    keys = [first, *rest[:-1].split("][")]
    if any("[" in key or "]" in key for key in keys):
        return [name]
    if len(keys) > MOST_NESTED:
        raise BadRequest(f"The parameter {first!r} is nested deeper than {MOST_NESTED} levels.")
    return keys


def _finished(value: str | _Tree) -> JSON:
    """Maps whose keys count from 0 become lists."""
    if isinstance(value, str):
        return value
    if all(key == str(at) for at, key in enumerate(value)):
        return [_finished(item) for item in value.values()]
    return {key: _finished(item) for key, item in value.items()}
