"""What runs on the server, in the hub's Python or the system's. It imports nothing of `hubrun`, which is not there."""
