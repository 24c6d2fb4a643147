"""What a server knows of its own health: what is seen, what of it is trouble, and who is told.

`seen` and `usage` look, and change nothing; `starts`, `judge` and `alarms` are pure; `sending` sends. `./hubrun status` shows
the answer of programs/status.py, and the timers of runbook 17 tell the operator with the same judgement.
"""
