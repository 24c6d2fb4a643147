"""Exams: for a time, servers of a course's students reach the hub and a list of hosts, and see that course alone, without
folders of groups.

The parameters say from when until when (`courses`, `exam`); the server's own clock counts, and nobody has to be there. Who
sits in an exam is who is a student of its course, on whichever of their servers; staff are not touched.

How a server is in an exam: at its start the hub says of which (a label), and the service before Docker, which is root's,
gives its container an address of a part of the students' network that no other container has (`courses.exam_address`). For
these addresses the rules of nftables, which are always there, let through the hub's port and pairs of address and host
that `programs/exam.py` adds, and nothing else. So nothing has to be switched on in time: whatever is missing or late, the
hub, that program or the rules' elements, a server in an exam reaches less and not more. An address cannot be changed from
within: containers have no capability.

No name server is reached, so that no question for a name carries anything out. The hosts' names are in the container's
/etc/hosts, with the addresses that the server found; to those alone it may connect, at ports 80 and 443.

`programs/exam.py`, which a timer starts every ten seconds, ends what is not as it should be: at the beginning servers of
the course's students that are not in the exam, at the end those that are. People start them again with a click, and are
told. What they have is taken at the end (`programs/due.py`). Staff of the course may move both times (`page`).

What an address can tell apart, it does: of two sites behind one address (a content delivery network), to allow one is to
allow both.
"""
