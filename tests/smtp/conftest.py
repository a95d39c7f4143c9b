"""Every test of this folder that awaits runs on asyncio's loop and on uvloop."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import uvloop

Loops = Mapping[str, Callable[[], asyncio.AbstractEventLoop]]


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Loops | None:
    """Both loops for the tests of this folder; others keep theirs."""
    if Path(__file__).parent in item.path.parents:
        return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}
    return None
