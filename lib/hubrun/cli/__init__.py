"""The command line: a module for each ./hubrun command, and what they share."""
