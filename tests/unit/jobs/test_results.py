"""The answer of a run, sealed and opened again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverie.errors import NotFound
from reverie.jobs.results import LARGEST, open_result, seal_result
from reverie.model import JSON, Response
from reverie.sealing import Sealer

SEALER = Sealer("s" * 32)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(content=values | st.binary(), status=st.integers(100, 599))
def test_every_answer_comes_back_as_it_was(content: JSON | bytes, status: int) -> None:
    response = Response(status=status, content=content, content_type="text/x", headers={"X-A": "b"})

    assert open_result(seal_result(response, SEALER, job_id="j"), SEALER, job_id="j") == response


@pytest.mark.parametrize("levels", [3_000, 200_000])
def test_an_answer_nested_too_deeply_is_told_and_breaks_nothing(levels: int) -> None:
    content: JSON = []
    for _ in range(levels):
        content = [content]

    sealed = seal_result(Response(content=content), SEALER, job_id="j")

    with pytest.raises(NotFound, match="too deeply"):
        open_result(sealed, SEALER, job_id="j")


def test_of_an_answer_that_is_too_large_only_the_size_is_kept() -> None:
    sealed = seal_result(Response(content="x" * LARGEST), SEALER, job_id="j")

    assert len(sealed) < 200
    with pytest.raises(NotFound, match="no more than 1048576"):
        open_result(sealed, SEALER, job_id="j")


@pytest.mark.parametrize("sealer", [SEALER, Sealer("t" * 32)])
def test_an_answer_opens_for_its_own_job_under_its_own_key_only(sealer: Sealer) -> None:
    sealed = seal_result(Response(content=1), SEALER, job_id="j")

    with pytest.raises(NotFound, match="another secret key"):
        open_result(sealed, sealer, job_id="k")
    with pytest.raises(NotFound, match="another secret key"):
        open_result(sealed[:-1], sealer, job_id="j")
