"""10_backup and 11_restore: where backups go, what makes them, and what is given back."""
