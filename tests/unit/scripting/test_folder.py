"""Folders that killed processes leave behind."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from reverie.scripting.folder import sweep


def test_only_folders_of_processes_that_are_gone_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = tmp_path / f"reverie-run-{ended.pid}-abc"
    ours = tmp_path / f"reverie-run-{os.getpid()}-abc"
    other = tmp_path / "reverie-run-nobody-abc"
    for folder in (gone, ours, other):
        folder.mkdir()
        (folder / "file").touch()

    sweep()

    assert sorted(tmp_path.iterdir()) == sorted([ours, other])
