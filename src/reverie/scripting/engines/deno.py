"""v8js and typescript: synchronous scripts on Deno, with every permission denied."""

from __future__ import annotations

from pathlib import Path

import deno  # type: ignore[import-untyped]  # one function, and it is not typed

from reverie.scripting.pool import RULES, Pool
from reverie.scripting.program import Program
from reverie.scripting.walls import Rules


def binary() -> str | None:
    """Path of Deno's binary, from the package `deno`; None where it has none for this machine."""
    try:
        path = deno.find_deno_bin()
    except FileNotFoundError:
        return None
    return path if Path(path).exists() else None


def available() -> bool:
    return binary() is not None


def _arguments(memory: int, runner: str) -> list[str]:
    return [
        "run",
        "--quiet",
        "--no-prompt",
        "--no-remote",
        "--no-npm",
        "--no-config",
        "--no-lock",
        "--no-code-cache",
        f"--v8-flags=--max-old-space-size={memory}",
        runner,
    ]


class DenoEngine(Pool):
    """Every run in a fresh realm; the process is the wall, and it can do nothing but talk to us.

    Args:
        typed: the scripts are TypeScript: their types are taken off, and not checked.
    """

    def __init__(self, *, typed: bool = False, size: int = 2, recycle: int = 1000, rules: Rules = RULES) -> None:
        self.name = "typescript" if typed else "v8js"
        self.label = "TypeScript" if typed else "V8Js"
        self.description = (
            "Server-side TypeScript handler; types are taken off before the script runs."
            if typed
            else "Server-side JavaScript handler using the V8js engine."
        )
        self.sandboxed = True
        path = binary()
        program = Program(
            path=path,
            arguments=lambda memory, runner: [*_arguments(memory, runner), *(["typescript"] if typed else [])],
            runner="runner.js",
            place="stdio",
            prints=False,
            overhead=192,
            tier="permissions",
        )
        missing = "Deno is not installed for this machine."
        super().__init__(program if path else None, missing=missing, size=size, recycle=recycle, rules=rules)
