"""Plays an LMS, a browser and a kernel's client: for 06_verify and `./hubrun launch`."""
