"""Looks: for half an hour, somebody who teaches a course opens the server of a student of it, and the student knows.

It is off where the site does not allow it for the course (`staff_may_look`), and only where each person's server has an
address of its own (`subdomains`): what a student's server shows runs in the browser of whoever opens it, and must be
another origin than the hub.

All servers of a person have the one home, and the folders of all courses that they are in; no server is of one course
alone. So a server is opened only by somebody who teaches every course that its person is a student of, and only if each of
these courses allows it (`who_may`). Whoever opens it can do there what its person can do.

The hub shares the server with that one person (JupyterHub's shares: access:servers!server=NAME/SERVER, and nothing else),
and remembers it (`looks`). Before that the server must have taken note of it, so that it says so in JupyterLab: one that
does not is not shared. What the server gets of the visitor is an OAuth token by which the hub tells their name and groups,
and which opens that server alone; JupyterHub asks the visitor before it is given.

A look ends with its time, when an exam begins, when the server ends, or as soon as it would not be allowed any more, which
is seen within half a minute (`spawner`). Then the share and the tokens go, and the server is told.
"""
