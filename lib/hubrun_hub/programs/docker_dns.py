"""Prints the name servers that Docker's own settings name, one in a line, as resolv.conf(5) has them."""

import json
from pathlib import Path

SETTINGS = Path("/etc/docker/daemon.json")

if __name__ == "__main__":
    for address in json.loads(SETTINGS.read_text()).get("dns", []):
        print("nameserver", address)
