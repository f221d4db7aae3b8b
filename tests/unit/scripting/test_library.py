"""The script library: which names lead to a file, what is told of those that do not, and what is read again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reverie.errors import LinkedTextMissing
from reverie.scripting.library import LARGEST, PACKAGES, Library, check_link

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A library with two modules, beside a file that nobody may read through it."""
    library = tmp_path / "scripts"
    (library / "lib").mkdir(parents=True)
    (library / "tax.js").write_text("tax")
    (library / "lib" / "rates.json").write_text("[1]")
    (tmp_path / "secret").write_text("canary")
    return library


async def test_a_name_is_a_path_below_the_folder_and_js_may_be_left_out(folder: Path) -> None:
    library = Library(folder)

    for name, path in (("tax.js", "tax.js"), ("tax", "tax.js"), ("./lib/../tax", "tax.js"), ("lib/rates.json",) * 2):
        found = await library.module(name, "", "")
        assert found["path"] == path


async def test_a_module_finds_its_neighbours_beside_itself(folder: Path) -> None:
    library = Library(folder)

    assert (await library.module("./rates.json", "lib/sum.js", ""))["path"] == "lib/rates.json"
    assert (await library.module("../tax", "lib/sum.js", ""))["path"] == "tax.js"
    assert (await library.module("tax", "lib/sum.js", ""))["path"] == "tax.js"


async def test_no_name_leads_out_of_the_folder(folder: Path) -> None:
    library = Library(folder)
    (folder / "link").symlink_to(folder.parent / "secret")
    (folder / "up").symlink_to(folder.parent)
    (folder / "circle").symlink_to("circle")
    names = [
        "../secret",
        "lib/../../secret",
        "/etc/passwd",
        str(folder.parent / "secret"),
        "link",
        "up/secret",
        "circle",
    ]
    names += ["..\\secret", "tax.js\0", "", ".", "lib", "nobody.js", "\ud800"]

    for name in names:
        found = await library.module(name, "", "")
        assert list(found) == ["error"], name
        assert "canary" not in str(found)
        with pytest.raises(LinkedTextMissing):
            await library.linked(name)
    assert list(await library.module("../../secret", "lib/sum.js", "")) == ["error"]


async def test_what_is_no_text_or_too_large_is_refused(folder: Path) -> None:
    (folder / "bytes.js").write_bytes(b"\xff\xfe")
    with (folder / "large.js").open("wb") as file:
        file.truncate(LARGEST + 1)
    os.mkfifo(folder / "pipe.js")
    library = Library(folder)

    told = [str((await library.module(name, "", ""))["error"]) for name in ("bytes.js", "large.js", "pipe.js")]

    assert "no text in UTF-8" in told[0]
    assert "larger than 4 MiB" in told[1]
    assert "no file" in told[2]


async def test_a_changed_file_is_read_again_and_a_known_text_is_not_sent_again(folder: Path) -> None:
    library = Library(folder)
    first = await library.module("tax", "", "")
    known = str(first["version"])

    assert (await library.module("tax", "", known))["text"] is None
    (folder / "tax.js").write_text("tax, another")
    second = await library.module("tax", "", known)

    assert (first["text"], second["text"]) == ("tax", "tax, another")
    assert second["version"] != known
    assert await library.linked("tax.js") == "tax, another"


async def test_lodash_is_there_and_a_file_of_the_same_name_comes_first(folder: Path) -> None:
    library = Library(folder)
    ours = await library.module("lodash.min.js", "", "")

    assert ours["path"] == "lodash.min.js"
    assert ours["text"] == (PACKAGES / "node_modules" / "lodash" / "lodash.min.js").read_text("utf-8")
    (folder / "lodash.min.js").write_text("mine")
    assert (await library.module("lodash.min.js", "", ""))["text"] == "mine"


async def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    library = Library(tmp_path / "nowhere")

    with pytest.raises(LinkedTextMissing, match=r"linked to 'a\.js', and there is no file 'a\.js'\. Put it into"):
        await library.linked("a.js")
    assert "error" not in await library.module("lodash.min.js", "", "")


def test_a_link_is_a_path_below_the_folder_and_no_service() -> None:
    assert check_link(None, None, {}) is None
    assert check_link(0, "lib/tax.js", {"scm_reference": ""}) is None
    for service, path, scm in ((7, "a.js", {}), (None, None, {"scm_repository": "r"})):
        assert "no file or source control services yet" in str(check_link(service, path, scm))
    for path in ("../a", "/a", "."):
        assert "storage_path" in str(check_link(None, path, {}))
