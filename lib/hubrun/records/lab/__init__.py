"""A run in which a person steps through the runbooks in JupyterLab: their copies, and what the server sees of each cell."""
