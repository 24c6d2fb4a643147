"""What the cells of the runbooks call: a package for each runbook."""
