"""Executable runbooks that set up a JupyterHub which Canvas can launch: what the runbooks import."""

import sys

# jsonschema, which comes with nbformat, builds some 35 grammars at its import (2 to 3 s here) for a format of URLs
# that no notebook uses; it goes without where the package is missing.
# https://github.com/python-jsonschema/jsonschema/issues/1428
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

from hubrun.desired.checks import Check, Test  # noqa: E402
from hubrun.desired.nodes import Nodes  # noqa: E402
from hubrun.desired.server import Server  # noqa: E402
from hubrun.params import Site  # noqa: E402
from hubrun.runbook import site_from  # noqa: E402

__all__ = ["Check", "Nodes", "Server", "Site", "Test", "site_from"]
