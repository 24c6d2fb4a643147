"""Renaming people on the hub: who gets another name by what will be configured, and taking their files along.

These modules run on the server in the system's own python3, sent there by `hubrun/sections/hub/renames.py` together with the modules of
the front door that they import: only the standard library, and nothing newer than Python 3.10.

`next_names` decides, pure. `look` reads what it decides upon. `pieces` moves what is somebody's, one after another;
`carry` does it for everybody, in this order:

1. The hub is stopped, and disabled, so that it does not start at a boot with half of it done. People's servers that run
   are stopped. The proxy, and everybody else's server, go on.
2. Each piece (a volume, a folder of a course) is moved aside, then, person by person, to its new place. A move is a
   rename within one file system: it takes no room, is done or not done, and leaves every file as it is. That everything
   is aside first makes chains and exchanges of names (A to B, B to A) as simple as the rest.
3. Gradebooks, then one transaction over the hub's database and lti_people.sqlite. From here on the new names count.

What is intended is written down first (`carry.JOURNAL`). When a step fails, everything goes back to where it was and the
hub is started as before. When all of it is killed, the hub stays stopped, as under the old configuration people would
come in with empty homes; the next run puts everything back first, and then begins anew.
"""
