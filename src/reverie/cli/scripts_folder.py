"""Scripts as files: one of text with the language's suffix, and one of settings beside it.

    FOLDER/events/db._table.todo.post.pre_process.js      the text, byte for byte
    FOLDER/events/db._table.todo.post.pre_process.json    its settings; what is left out has its default
    FOLDER/services/greet.py                              a service answered by a script
    FOLDER/services/greet.json
    FOLDER/.reverie.json                                  what the instance had at the last pull or push

A name is its file's name; characters that some system cannot have in one stand as ``%2F``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote

import click

from reverie.model import JSON

Kind = Literal["events", "services"]
KINDS: Final[tuple[Kind, ...]] = ("events", "services")
STATE: Final = ".reverie.json"
SUFFIXES: Final[Mapping[str, str]] = {
    "v8js": ".js",
    "nodejs": ".cjs",
    "typescript": ".ts",
    "python3": ".py",
    "python": ".py",
    "php": ".php",
}
OTHER: Final = ".txt"
"""Suffix of a language that we do not know."""
LANGUAGES: Final[Mapping[str, str]] = {
    ".js": "v8js",
    ".cjs": "nodejs",
    ".ts": "typescript",
    ".py": "python3",
    ".php": "php",
}
"""What a file without settings is written in."""
DEFAULTS: Final[Mapping[str, JSON]] = {
    "is_active": True,
    "allow_event_modification": False,
    "config": {},
    "queued": False,
    "implements_access_list": False,
    "cache_enabled": False,
    "cache_ttl": 0,
}
"""What settings need not say; whatever else is left out is empty."""
_FORBIDDEN: Final = frozenset('<>:"/\\|?*%')
_LONGEST: Final = 240
"""Bytes of a file's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A script, wherever it is.

    Attributes:
        settings: ``type`` and the rest, as `said` leaves them.
    """

    kind: Kind
    name: str
    text: str
    settings: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Names differ by more than their case, so this is one on every file system."""
        return f"{self.kind}/{self.name}".lower()

    @property
    def digest(self) -> str:
        whole = json.dumps([self.text, self.settings], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


def said(settings: Mapping[str, JSON]) -> dict[str, JSON]:
    """Settings without those that have their default."""
    return {name: value for name, value in settings.items() if value is not None and value != DEFAULTS.get(name, ...)}


def file_name(name: str) -> str:
    """A name as a file can have it; `name_of` is the opposite."""
    spelled = "".join(f"%{ord(one):02X}" if one in _FORBIDDEN or ord(one) < 32 else one for one in name)
    for end in (" ", "."):
        if spelled.startswith(end):
            spelled = f"%{ord(end):02X}{spelled[1:]}"
        if spelled.endswith(end):
            spelled = f"{spelled[:-1]}%{ord(end):02X}"
    if len(os.fsencode(spelled)) > _LONGEST:
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        short = os.fsencode(spelled)[: _LONGEST - 14].decode(errors="ignore")
        return f"{short}%-{digest}"
    return spelled


def name_of(stem: str) -> str | None:
    """None for a name that was too long: the settings tell it."""
    return None if "%-" in stem else unquote(stem)


class Folder:
    """The files of one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def scripts(self) -> dict[str, Kept]:
        """Every script by its key.

        Raises:
            ClickException: two files are one script, or a file of settings cannot be read.
        """
        found: dict[str, Kept] = {}
        places: dict[str, Path] = {}
        for kind, file in self.files():
            one = self.read(kind, file)
            if one.key in found:
                raise click.ClickException(f"{places[one.key]} and {file} are the same script; keep one of them.")
            found[one.key], places[one.key] = one, file
        return found

    def files(self) -> Iterator[tuple[Kind, Path]]:
        """The files of text."""
        for kind in KINDS:
            for file in sorted((self.path / kind).glob("*")):
                if self.kind_of(file) == kind:
                    yield kind, file

    def kind_of(self, file: Path) -> Kind | None:
        """Where a file of text belongs; None for one of anything else."""
        kinds: Iterator[Kind] = (one for one in KINDS if file.parent == self.path / one)
        kind = next(kinds, None)
        usable = file.suffix in {*LANGUAGES, OTHER} and not file.name.startswith(".") and file.is_file()
        # What declares for editors is no script.
        return kind if usable and not file.name.endswith(".d.ts") else None

    def read(self, kind: Kind, file: Path) -> Kept:
        settings = _settings_beside(file)
        stem = file.name.removesuffix(file.suffix)
        named = settings.pop("name", None)
        name = named if isinstance(named, str) and file_name(named) == stem else name_of(stem)
        if not name:
            raise click.ClickException(f'{file}: nothing tells the script\'s name; its settings should, as "name".')
        if "type" not in settings:
            language = LANGUAGES.get(file.suffix)
            if language is None:
                raise click.ClickException(f'{file}: nothing tells its language; put "type" into its settings.')
            settings = {"type": language, **settings}
        try:
            text = file.read_bytes().decode()
        except UnicodeDecodeError as error:
            raise click.ClickException(f"{file} is no UTF-8: {error.reason} at byte {error.start}.") from error
        return Kept(kind=kind, name=name, text=text, settings=said(settings))

    def write(self, one: Kept) -> None:
        """The two files; those that had another suffix go."""
        place = self.path / one.kind
        place.mkdir(parents=True, exist_ok=True)
        stem = file_name(one.name)
        suffix = SUFFIXES.get(str(one.settings.get("type")), OTHER)
        self.remove(one, but=suffix)
        settings = dict(one.settings)
        if name_of(stem) != one.name:
            settings = {"name": one.name, **settings}
        _replace(place / f"{stem}{suffix}", one.text.encode("utf-8", "surrogatepass"))
        _replace(place / f"{stem}.json", (json.dumps(settings, indent=2, ensure_ascii=False) + "\n").encode())

    def remove(self, one: Kept, *, but: str = "") -> None:
        """Its files, whatever the case of their names; with *but* only texts of another suffix."""
        place, stem = self.path / one.kind, file_name(one.name)
        for name in os.listdir(place):
            root, suffix = os.path.splitext(name)
            is_text = suffix in {*LANGUAGES, OTHER} and name != f"{stem}{but}"
            if root.lower() == stem.lower() and (is_text or (suffix == ".json" and not but)):
                (place / name).unlink()

    # -- what the instance had

    def known(self) -> dict[str, str]:
        """Digests by key, of the last pull or push."""
        try:
            state = json.loads((self.path / STATE).read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise click.ClickException(
                f"{self.path / STATE} cannot be read; `reverie scripts pull` writes it."
            ) from error
        scripts = state.get("scripts") if isinstance(state, dict) else None
        return {str(key): str(digest) for key, digest in scripts.items()} if isinstance(scripts, dict) else {}

    def remember(self, known: Mapping[str, str]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        state = {"scripts": dict(sorted(known.items()))}
        _replace(self.path / STATE, (json.dumps(state, indent=2, ensure_ascii=False) + "\n").encode())


def _settings_beside(file: Path) -> dict[str, JSON]:
    place = file.with_name(file.name.removesuffix(file.suffix) + ".json")
    try:
        settings = json.loads(place.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise click.ClickException(f"{place} is no JSON: {error}.") from error
    if not isinstance(settings, dict):
        raise click.ClickException(f"{place} must hold an object.")
    return settings


def _replace(file: Path, data: bytes) -> None:
    """Write it whole or not at all, and not at all what is there already."""
    if file.exists() and file.read_bytes() == data:
        return
    draft = file.with_name(f".{file.name[:200]}.new")
    draft.write_bytes(data)
    draft.replace(file)
