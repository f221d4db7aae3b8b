"""Harbour Pantry: a small wholesale-food database to try things on. All its rows are made up."""

from __future__ import annotations

from importlib.resources import files


def sample_sql() -> str:
    """The sample as SQL that SQLite loads as it is."""
    return files(__name__).joinpath("sample.sql").read_text("utf-8")
