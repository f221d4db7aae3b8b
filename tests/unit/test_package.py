"""What others may import."""

from __future__ import annotations

import subprocess
import sys

import pytest

import reverie


@pytest.mark.parametrize("name", reverie.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(reverie, name).__name__ == name


def test_importing_the_package_loads_nothing_else() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", "import reverie, sys; print([n for n in sys.modules if n.startswith('reverie.')])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert shown.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = reverie.nothing_like_it
