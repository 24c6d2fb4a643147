"""nbgrader in a container of the students' image, whose courses the hub has mounted.

What is mounted where, and why that is what keeps people apart: hubrun_hub/courses. Here are the parts of nbgrader that have to
know of it. Nothing here is trusted by anybody else: a student may change all of it in their own container and reaches
no more; what instructors run (`exchange`, `copying`, `grading`) believes nothing that a student's container wrote.
"""
