"""What no other tool checks: the size of modules, every folder in the code map, every link in the docs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES = 400
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
CODE_MAP = ROOT / "docs" / "explanation" / "code-map.md"


def long_modules() -> list[str]:
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.ts"), *(ROOT / "src").rglob("*.cjs")]
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in files}
    return [
        f"{path.relative_to(ROOT)}: {count} lines, the limit is {MOST_LINES}"
        for path, count in sorted(lines.items())
        if count > MOST_LINES
    ]


def folders_without_a_word() -> list[str]:
    text = CODE_MAP.read_text("utf-8")
    folders = {path.parent.relative_to(ROOT / "src" / "reverie") for path in (ROOT / "src").rglob("*.py")}
    names = sorted(str(folder) for folder in folders if str(folder) != ".")
    return [f"docs/explanation/code-map.md does not name {name}/" for name in names if f"{name}/" not in text]


def broken_links() -> list[str]:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    return [
        f"{page.relative_to(ROOT)}: {target} does not exist"
        for page in pages
        for target in LINK.findall(page.read_text("utf-8"))
        if not target.startswith(("http://", "https://", "mailto:")) and not (page.parent / target).exists()
    ]


def main() -> int:
    mistakes = long_modules() + folders_without_a_word() + broken_links()
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
