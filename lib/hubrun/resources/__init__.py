"""Resources: a module for each thing that a server may have."""
