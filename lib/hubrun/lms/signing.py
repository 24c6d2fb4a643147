"""Launches with LTI 1.1, signed on the server, where the consumers' secrets are and stay."""

from __future__ import annotations

from collections.abc import Sequence

from hubrun import server_paths
from hubrun.desired.server import Server
from hubrun.errors import CommandFailed
from hubrun.lms import lti11
from hubrun.lms.lti11 import LaunchRequest


def sign(server: Server, launches: Sequence[LaunchRequest]) -> list[dict[str, str]]:
    """Return the signed forms, in their order; one round trip. Raises CommandFailed where a secret is missing."""
    job = lti11.signer_input(server_paths.LTI_ENV, launches).encode()
    signed = server.run(server_paths.program("sign_launch", f"{server_paths.VENV}/bin/python"), data=job, check=False)
    if signed.exit_code != 0:
        last = (signed.stderr.strip().splitlines() or [f"exit code {signed.exit_code}"])[-1]
        raise CommandFailed(
            f"the launches were not signed: {last}", server.site.host, "Run 02 first: it makes key and secret"
        )
    return lti11.signer_output(signed.stdout)
