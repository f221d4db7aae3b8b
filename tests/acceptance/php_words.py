"""Short scenes of JavaScript in the words of PHP, so that a scene whose two texts differ by spelling is written once.

Knows what scenes consist of: maps, lists, texts, numbers, properties of variables, calls of the platform, `return`.
Anything else a scene writes in PHP itself.
"""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(
    r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|([A-Za-z_]\w*)|(\d+(?:\.\d+)?)|(\s+)|(.)""", re.DOTALL
)
_KEPT: Final = frozenset({"return", "true", "false", "null"})
_CALLS: Final = {"JSON.stringify": "json_encode", "JSON.parse": "json_decode"}


def php_of(javascript: str) -> str:
    """The same in PHP; statements end with semicolons. What has a ``$`` is PHP already."""
    text = javascript.strip()
    if "$" in text:
        return text
    for name, function in _CALLS.items():
        text = text.replace(name + "(", function + "(")
    tokens = [match.group() for match in _TOKEN.finditer(text)]
    words: list[str] = []
    for at, token in enumerate(tokens):
        before, after = _near(tokens, at, -1), _near(tokens, at, 1)
        words.append(_word(token, before, after, tokens, at))
    found = "".join(words).strip()
    return found if not found or found.endswith((";", "}")) else found + ";"


def _near(tokens: list[str], at: int, step: int) -> str:
    """The next token that is no space."""
    at += step
    while 0 <= at < len(tokens) and tokens[at].isspace():
        at += step
    return tokens[at] if 0 <= at < len(tokens) else ""


def _word(token: str, before: str, after: str, tokens: list[str], at: int) -> str:
    if token[0].isalpha() or token[0] == "_":
        if before == ".":
            return f"->{token}" if after == "(" else f"['{token}']"
        if after == ":":
            return f"'{token}'"
        if token in _KEPT or token in _CALLS.values():
            return token
        return "" if token == "var" else f"${token}"
    if token == "." and re.match(r"[A-Za-z_]", after):
        return ""
    return {"{": "[", "}": "]", ":": " =>"}.get(token, token)
