"""How students' servers start, and what holds while something else restarts: who waits in line, what a start that fails
says, the hub's sockets, and its routes in the proxy."""
