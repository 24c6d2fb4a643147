"""13_upgrade: a new version of hub, proxy and students' image, and back to the one before when it does not work."""
