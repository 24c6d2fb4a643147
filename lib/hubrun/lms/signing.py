"""Launches with LTI 1.1, signed on the server, where the consumers' secrets are and stay."""

from __future__ import annotations

from collections.abc import Sequence

from hubrun.errors import CommandFailed
from hubrun.hub import config, lti
from hubrun.hub.lti import LaunchRequest
from hubrun.server import Server


def sign(server: Server, launches: Sequence[LaunchRequest]) -> list[dict[str, str]]:
    """Return the signed forms, in their order; one round trip. Raises CommandFailed where a secret is missing."""
    job = lti.signer_input(config.LTI_ENV, launches).encode()
    signed = server.run("{}/bin/python -c {}", config.VENV, lti.SIGNER, data=job, check=False)
    if signed.exit_code != 0:
        last = (signed.stderr.strip().splitlines() or [f"exit code {signed.exit_code}"])[-1]
        raise CommandFailed(
            f"the launches were not signed: {last}", server.site.host, "Run 02 first: it makes key and secret"
        )
    return lti.signer_output(signed.stdout)
