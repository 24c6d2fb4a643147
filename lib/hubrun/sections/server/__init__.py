"""01_server."""
