"""The SSH connection to a server: one login, a channel for each command, and probes that are prefetched."""
