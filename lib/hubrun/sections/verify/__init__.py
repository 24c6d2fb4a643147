"""06_verify: an LMS, students and a stranger, played from outside."""
