"""16_uninstall: a server becomes what it was before."""
