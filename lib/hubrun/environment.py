"""Where this checkout is, and the environment variables by which a runner, or JupyterLab, and its kernels understand each other."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
RECORDS = PROJECT / "records"
# Who keeps a record sets it for its kernels: the engine, and `./hubrun lab`. The kernel then tells each secret, over a
# socket that only this account can open, in messages of this type: so that they are kept out of what is written.
ENGINE = "HUBRUN_ENGINE"
MESSAGE = "hubrun_secret"
# In check mode the runner names here the runbooks before this one that would change something.
PENDING = "HUBRUN_PENDING"
