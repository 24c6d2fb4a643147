"""Where this checkout is, and the environment variables by which a runner, its kernel and JupyterLab understand each other."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
RECORDS = PROJECT / "records"
# `./hubrun lab params/site.yaml` says here which site the open notebooks are about.
SITE_FILE = "HUBRUN_SITE"
# The engine sets it for its kernels. The kernel then tells it each secret, over a socket that only this account can
# open, in messages of this type: so that the engine can keep them out of what it writes.
ENGINE = "HUBRUN_ENGINE"
MESSAGE = "hubrun_secret"
# In check mode the runner names here the runbooks before this one that would change something.
PENDING = "HUBRUN_PENDING"
