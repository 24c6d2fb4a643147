"""Work that was taken when it was due is collected and autograded by the server, in courses that have `autograde`.

`waiting` says whose and what comes next (pure), `container` how nbgrader is run for it, and `records` keeps what came of it.

nbgrader runs in a container of the course's image that has the folders of this course, as its staff have them, and nothing
else: no home, no network, no word of the hub. In it students' code runs in the sandbox in which it always is autograded
(hubrun_student/nbgrader/sandbox.py). What the container says is believed about the students whom it was asked to grade, and
of them alone: the settings of nbgrader in a course's folder are its staff's, and they could say anything.
"""
