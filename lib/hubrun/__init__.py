"""Executable runbooks that set up a JupyterHub which Canvas can launch: what the runbooks import."""

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from hubrun import slow_modules

slow_modules.put_off()

if TYPE_CHECKING:
    from hubrun.desired.checks import Check, Test
    from hubrun.desired.nodes import Nodes
    from hubrun.desired.server import Server
    from hubrun.params import Site
    from hubrun.runbook import site_from

__all__ = ["Check", "Nodes", "Server", "Site", "Test", "site_from"]
# Imported when it is used: the command line needs little of it, and starts a runbook's kernel before anything else.
_PLACES = {"Nodes": "desired.nodes", "Server": "desired.server", "Site": "params", "site_from": "runbook"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return resolve_name(f"hubrun.{_PLACES.get(name, 'desired.checks')}:{name}")
