"""What every test may use."""

from __future__ import annotations

import logging
import sys

import pytest
import structlog

# As the command does it: what is logged is no part of what a test reads from standard output.
structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    logger_factory=structlog.PrintLoggerFactory(sys.__stderr__),
)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
