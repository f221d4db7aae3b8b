"""The map of names."""

from __future__ import annotations

from reverie.events.names import EventPath


def test_a_scriptable_entry_lists_each_name_with_its_stages() -> None:
    path = EventPath(name="db._table", verbs=("get",))

    assert path.endpoints(scriptable=True) == [
        "db._table.get",
        "db._table.get.pre_process",
        "db._table.get.post_process",
        "db._table.get.queued",
    ]
    assert path.entry(scriptable=False) == {"type": "api", "endpoints": ["db._table.get"], "parameter": None}
