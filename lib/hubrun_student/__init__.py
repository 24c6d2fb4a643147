"""What runs in the students' image. It imports nothing of `hubrun`, which is not there."""
