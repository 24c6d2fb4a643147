"""What is kept of the runs: manifests, their chain, signatures, and how they are verified. Writes no page."""
