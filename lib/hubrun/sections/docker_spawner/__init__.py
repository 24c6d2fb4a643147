"""04_docker_spawner: Docker, the students' image, and what their containers may reach."""
