"""Executable runbooks that set up a JupyterHub which Canvas can launch: what the runbooks import."""

from hubrun.checks import Check, Test
from hubrun.notebook import site_from
from hubrun.params import Site
from hubrun.server import Server

__all__ = ["Check", "Server", "Site", "Test", "site_from"]
