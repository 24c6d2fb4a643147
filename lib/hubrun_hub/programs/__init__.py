"""What is run on a server, one module for each program: see hubrun_hub/__main__.py, and `server_paths.program`."""
