"""What nbgrader's gradebooks say, for the hub, which cannot enter the folders of courses itself.

A gradebook is a file that teachers' containers write (/srv/nbgrader/<course>/course/gradebook.db), and so it may hold
anything. `serve` answers the hub at a socket; `read` runs as the file's owner, sees nothing but its folder, which it
cannot change, and ends after some seconds. The hub asks by `lti/services/assignments`, and believes none of it without a look.
"""
