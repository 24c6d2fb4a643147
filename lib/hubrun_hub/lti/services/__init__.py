"""What the hub asks of an LMS after a launch: to take grades (LTI 1.3 and 1.1), and to say who is in a course (1.3).

A launch says where these services are (`claims`); the hub keeps it in a file of its own (`service_file`), tells nobody,
and least of all people's servers. It asks at addresses that `outbound` allows, in LTI 1.3 with a token that the tool's key
gets (`tokens`), in 1.1 with the consumer's secret (`outcomes`). `calls` says what is tried again, and when not: no
failure on the way makes two columns, or two grades, of one.
"""
