"""What is run in the image, while it is built and afterwards: `python -m hubrun_student.programs.NAME`."""
