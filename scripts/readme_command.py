"""Prints one of the README's two commands, as written there: ``run`` or ``test``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def command(name: str) -> str:
    found = re.search(rf"^(scripts/{re.escape(name)}\b[^\n#]*)", README.read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit(f"README.md has no line that begins with scripts/{name}")
    return found[1].strip()


if __name__ == "__main__":
    print(command(sys.argv[1]))
