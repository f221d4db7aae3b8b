"""The folder that a child lives in: made for it, cleaned between runs, gone with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from threading import Thread


class Folder:
    """Args:
    path: where it is; what stands in it now belongs to the child, everything later to scripts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._furniture = set(os.listdir(path))

    @staticmethod
    def make() -> Path:
        return Path(tempfile.mkdtemp(prefix=f"reverie-run-{os.getpid()}-"))

    def has_litter(self) -> bool:
        """Whether scripts left something, or made it unreadable."""
        try:
            return set(os.listdir(self.path)) != self._furniture
        except OSError:
            return True

    async def clean(self) -> None:
        """Remove what scripts left; nothing that it links to is followed. Look again whether it worked."""
        await asyncio.to_thread(self._clean)

    def _clean(self) -> None:
        with contextlib.suppress(OSError):
            for name in set(os.listdir(self.path)) - self._furniture:
                path = self.path / name
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    def remove(self) -> None:
        """In a thread: scripts may leave much."""
        Thread(target=shutil.rmtree, args=(self.path, True), daemon=True).start()


def sweep() -> None:
    """Remove the folders that children of killed processes left behind."""
    for folder in Path(tempfile.gettempdir()).glob("reverie-run-*-*"):
        owner = folder.name.split("-")[2]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(folder, ignore_errors=True)
