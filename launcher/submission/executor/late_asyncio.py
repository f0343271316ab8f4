"""submitit without asyncio, which it imports for coroutines that nobody here awaits: half of its import."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


class _Late(ModuleType):
    """A module that is loaded as soon as anything but `Future`, which only annotations name, is taken from it."""

    Future = object

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


@contextmanager
def late_asyncio() -> Iterator[None]:
    """Let modules that the block imports load asyncio when they first use it; others see no difference."""
    late = _Late("asyncio")
    sys.modules.setdefault("asyncio", late)
    try:
        yield
    finally:
        if sys.modules.get("asyncio") is late:
            del sys.modules["asyncio"]
