"""Practice servers: disposable systemd containers that behave as fresh servers, an ACME server beside each."""

from hubrun.practice.lifecycle import copy, down, reset, ssh, up
from hubrun.practice.practice_server import Practice, load

__all__ = ["Practice", "copy", "down", "load", "reset", "ssh", "up"]
