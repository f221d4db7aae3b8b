"""Files of the instance that scripts are made of: what they `require`, and texts that records name by a path.

The folder (setting ``script_library``) holds modules for v8js and typescript, linked script texts, and in its
``node_modules`` packages for nodejs. Beside it lies what comes with Reverie: lodash.
"""

from __future__ import annotations

import asyncio
import hashlib
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Final

from reverie.errors import LinkedTextMissing
from reverie.model import JSON

PACKAGES: Final = Path(__file__).parent / "packages"
"""What comes with Reverie; npm fills its ``node_modules`` when Reverie is built or installed from source."""
LARGEST: Final = 4 * 1024 * 1024
"""Bytes of one file."""
_COMES_WITH_US: Final = {
    "lodash.min.js": "node_modules/lodash/lodash.min.js",
    "lodash": "node_modules/lodash/lodash.min.js",
    "lodash.js": "node_modules/lodash/lodash.js",
}


class NotThere(Exception):
    """No such file in the folder, or none that may be read; the text says which."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of the folder, as it is now.

    Attributes:
        path: below the folder, with ``/``.
        version: another one when the text is another one.
    """

    path: str
    version: str
    text: str


class Library:
    """Args:
    folder: need not exist.
    """

    def __init__(self, folder: Path, packages: Path = PACKAGES) -> None:
        self.folder = folder
        self.packages = packages
        self._read: dict[Path, tuple[tuple[int, ...], File]] = {}

    async def linked(self, path: str) -> str:
        """The script text that a record names by its ``storage_path``.

        Raises:
            LinkedTextMissing
        """
        try:
            return (await self._file(self.folder, normal(path))).text
        except NotThere as error:
            raise LinkedTextMissing(
                f"The text of this script is linked to '{path}', and {error}. Put it into the script folder of this"
                " instance (REVERIE_SCRIPT_LIBRARY, by default 'scripts' in the data folder), or change storage_path."
            ) from error

    async def module(self, name: str, asked_by: str, known: str) -> dict[str, JSON]:
        """What ``require(name)`` means, as a message to a child.

        Args:
            asked_by: path of the module that asks; ``""`` for the script itself.
            known: version that the child has already; its text is not sent again.

        Returns:
            ``{"path", "version", "text"}``, the text null when it is known; or ``{"error"}``.
        """
        try:
            found = await self._module(name, asked_by)
        except NotThere as error:
            return {"error": f"require('{name}'): {error}. Scripts of this language find the files of the folder"
                    " REVERIE_SCRIPT_LIBRARY, and lodash.min.js."}  # fmt: skip
        return {"path": found.path, "version": found.version, "text": None if found.version == known else found.text}

    async def _module(self, name: str, asked_by: str) -> File:
        near = posixpath.dirname(asked_by) if name.startswith(("./", "../")) else ""
        path = normal(posixpath.join(near, name))
        for one in (path, path + ".js"):
            try:
                return await self._file(self.folder, one)
            except NotThere:
                if one in _COMES_WITH_US:
                    return await self._file(self.packages, _COMES_WITH_US[one], called=one)
        return await self._file(self.folder, path)

    async def _file(self, folder: Path, path: str, called: str = "") -> File:
        """Read it, if it was not read already and is the same still."""
        real, seen = located(folder, path)
        known = self._read.get(real)
        if known is not None and known[0] == seen:
            return known[1]
        try:
            text = (await asyncio.to_thread(real.read_bytes)).decode()
        except UnicodeDecodeError as error:
            raise NotThere(f"'{path}' is no text in UTF-8") from error
        except OSError as error:
            raise NotThere(f"'{path}' cannot be read") from error
        version = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._read[real] = (seen, File(called or path, version, text))
        return self._read[real][1]


def located(folder: Path, path: str) -> tuple[Path, tuple[int, ...]]:
    """Where a file is, links followed, and what changes when it changes.

    Raises:
        NotThere
    """
    try:
        real = (folder / path).resolve()
        if not real.is_relative_to(folder.resolve()):
            raise NotThere(f"'{path}' leads out of the folder")
        status = real.stat()
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        raise NotThere(f"there is no file '{path}'") from error
    if not S_ISREG(status.st_mode):
        raise NotThere(f"'{path}' is no file")
    if status.st_size > LARGEST:
        raise NotThere(f"'{path}' is larger than {LARGEST // 1048576} MiB")
    return real, (status.st_ino, status.st_mtime_ns, status.st_size)


def normal(path: str) -> str:
    """A path below the folder, one way to write it.

    Raises:
        NotThere: it leads out of the folder, or is none.
    """
    if path.startswith("/") or "\\" in path or "\0" in path:
        raise NotThere(f"'{path}' is no path below the folder; write it like 'lib/tax.js'")
    found = posixpath.normpath(path)
    if found == ".." or found.startswith("../"):
        raise NotThere(f"'{path}' leads out of the folder")
    if found == ".":
        raise NotThere("no file is named")
    return found


def check_link(service: JSON, path: JSON, scm: Mapping[str, JSON]) -> str | None:
    """What is wrong with the link of a script to its text, if anything is; for who saves it."""
    if service or any(scm.values()):
        return (
            "There are no file or source control services yet, so no script can be linked to one. To link it to a file"
            " of this instance, leave storage_service_id, scm_repository and scm_reference empty and put the file's"
            " path below the folder REVERIE_SCRIPT_LIBRARY into storage_path."
        )
    try:
        if path:
            normal(str(path))
    except NotThere as error:
        return f"The field 'storage_path' cannot be used: {error}."
    return None
