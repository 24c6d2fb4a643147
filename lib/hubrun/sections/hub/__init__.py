"""02_hub_lti: the hub, its configuration and its consumers."""
