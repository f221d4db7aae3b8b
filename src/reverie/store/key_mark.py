"""Whether those who share a store share a secret key: a mark in it, sealed under the key in use.

A host with another key works, until it meets what the others sealed: their jobs and secrets cannot be opened there.
"""

from __future__ import annotations

from typing import Final

from reverie.sealing import Unsealable, key_id_of_text
from reverie.store.facts import claim_fact, get_fact, put_fact
from reverie.store.store import Store

MARK: Final = "sealed_mark"
OTHER_KEY: Final = (
    "Others seal in this store under a secret key that is not known here, so their jobs and secrets cannot be opened."
    " Give every host the same REVERIE_SECRET_KEY. If that key is lost, `reverie keys reseal` makes this one count."
)
"""What whoever has another key is told."""


async def mark_key(store: Store) -> bool:
    """Leave a mark where there is none, and renew one of an older key; whether the one that was there can be opened.

    Raises:
        StoreUnavailable
    """
    mark = await claim_fact(store, MARK, _made(store))
    if not _opens(store, mark):
        return False
    if key_id_of_text(mark) != store.sealer.key_id:
        await renew_mark(store)
    return True


async def renew_mark(store: Store) -> None:
    """Have the key in use here be the one that everybody must know.

    Raises:
        StoreUnavailable
    """
    await put_fact(store, MARK, _made(store))


async def shares_key(store: Store) -> bool:
    """Whether what the others seal can be opened here; True as long as nobody has left a mark.

    Raises:
        StoreUnavailable
    """
    mark = await get_fact(store, MARK)
    return mark is None or _opens(store, mark)


def _made(store: Store) -> str:
    return store.sealer.seal_text(MARK, about=MARK)


def _opens(store: Store, mark: str) -> bool:
    try:
        return store.sealer.open_text(mark, about=MARK) == MARK
    except Unsealable:
        return False
