"""17_watch: who uses how much, and who is told when something is wrong."""
