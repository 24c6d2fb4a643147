"""Executable runbooks that set up a JupyterHub which Canvas can launch: what the runbooks import."""

from hubrun import slow_modules

slow_modules.put_off()

from hubrun.desired.checks import Check, Test  # noqa: E402
from hubrun.desired.nodes import Nodes  # noqa: E402
from hubrun.desired.server import Server  # noqa: E402
from hubrun.params import Site  # noqa: E402
from hubrun.runbook import site_from  # noqa: E402

__all__ = ["Check", "Nodes", "Server", "Site", "Test", "site_from"]
