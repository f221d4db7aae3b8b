"""Reverie: a REST API on your data, scripts around every call, and a queue that loses nothing.

What others may import is here, and loaded when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reverie.app import build
    from reverie.config import Settings, read_settings
    from reverie.errors import ReverieError
    from reverie.model import Job, Request, Response
    from reverie.platform import Platform

__all__ = ["Job", "Platform", "Request", "Response", "ReverieError", "Settings", "build", "read_settings"]

_HOMES = {
    "Job": "model",
    "Platform": "platform",
    "Request": "model",
    "Response": "model",
    "ReverieError": "errors",
    "Settings": "config",
    "build": "app",
    "read_settings": "config",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'reverie' has no attribute {name!r}")
    return getattr(importlib.import_module(f"reverie.{_HOMES[name]}"), name)
