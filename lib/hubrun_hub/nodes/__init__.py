"""Further servers on which students' containers run ("nodes"), as the server with the hub (the "manager") knows them.

On each node there is a Docker engine, and nothing of ours runs there but `node-link`: what an ssh connection from the
manager starts there. That connection (`programs/node_link.py`) brings the engine's socket to the manager, and says every
two seconds how the node is. Who asks a node's Docker asks at that socket.

`nodes_file` is the list of nodes, `links` what their connections say, `drained` which of them get no new servers. The
standard library alone: the hub's Python and the system's (3.10 or newer) both read these.
"""
