"""What a certifier is checked on: random networks, and what was met in the balls around their images."""
