"""Desired state: what a resource is, how a server is brought to it, checks, and what to do when something fails."""
