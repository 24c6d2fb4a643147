"""The records as people read them: pages of HTML, tables on a terminal, and what differs between two runs."""
