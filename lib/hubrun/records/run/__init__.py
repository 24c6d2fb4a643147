"""One run: papermill's engine, the kernel, and the notebooks as they are saved while they run."""
