"""Modules that libraries import and no run needs: where they are missing, these libraries go without, or need them later.

What is in `sys.modules` as None is missing to whoever imports it (Python, "The import system": The module cache).
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from typing_extensions import override

_LEFT_OUT = (
    # jsonschema, which comes with nbformat, takes it for a format of URLs that no notebook uses, and builds some 35 grammars
    # (2 to 3 s here): https://github.com/python-jsonschema/jsonschema/issues/1428. The next two are for other formats.
    "rfc3987_syntax",
    "isoduration",
    "uri_template",
    # papermill/iorw.py: notebooks in HDFS
    "pyarrow.fs",
    # ipykernel/debugger.py: nobody debugs a run's kernel
    "debugpy",
)
# scrapbook: for tables, of which runbooks glue none
_LATER = ("pandas",)
# Of names of this form, these are asked for by who uses the module; the others by who only lists those that are there.
_USED = ("__path__", "__version__")


class _Later(ModuleType):
    """A module that is loaded when something of it is used. Raises ImportError then, where it is not installed."""

    @override
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in _USED:
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def put_off() -> None:
    """Call it before anything else is imported."""
    for name in _LEFT_OUT:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    for name in _LATER:
        if name not in sys.modules and (spec := find_spec(name)):
            module = _Later(name)
            module.__spec__ = spec  # who asks whether it is there, and uses nothing of it (importlib.util.find_spec)
            sys.modules[name] = module
