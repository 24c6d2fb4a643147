"""What to do about failures that everybody meets: a table from a command's output to a remedy."""

from __future__ import annotations

import re

_REMEDIES = [
    (r"No space left on device|ENOSPC|disk is full|enough free space|Disk quota exceeded",
     "The disk is full: free space (df -h; docker system df) and run it again"),
    (r"Could not get lock|Unable to acquire the dpkg|Could not open lock file",
     "Another apt or dpkg is at work; wait for it (unattended-upgrades takes minutes) and run it again"),
    (r"Temporary failure (in name )?resol|Could not resolve|Name or service not known|no such host",
     "The server cannot resolve host names: check /etc/resolv.conf and its network"),
    (r"certificate verify failed|self[- ]signed certificate|unknown authority|CERTIFICATE_VERIFY_FAILED|UnknownIssuer",
     "Something on the way re-signs HTTPS: add its CA to ca_certificates"),
    (r"Hash Sum mismatch|File has unexpected size|THESE PACKAGES DO NOT MATCH THE HASHES",
     "The mirror sent something other than it had announced: wait some minutes and run it again"),
    (r"NO_PUBKEY|is not signed|BADSIG|EXPKEYSIG",
     "The repository's signature does not match its key: check the repository's address"),
    (r"address already in use|port is already allocated",
     "Another program has the port: find it with ss -ltnp and stop it"),
    (r"Connection (timed out|refused)|Network is unreachable|Failed to (connect|fetch)|Read timed out",
     "A download failed: check that the server reaches the outside and run it again"),
    (r"Too Many Requests|toomanyrequests|rateLimited", "The other side limits requests: wait and run it again"),
    (r"out of memory|Cannot allocate memory|oom-kill", "Memory ran out: set swap_mb or use a larger server"),
    (r"Read-only file system", "The file system is read-only: look at dmesg, then repair and remount it"),
]  # fmt: skip


def remedy_for(text: str) -> str:
    """What to do about a failed command that printed `text`; a general advice when it is not known."""
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, text, re.IGNORECASE):
            return remedy
    return "See the log above; repair the cause and run it again: it carries on from what is there"
