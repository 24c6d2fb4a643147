"""14_rotate: secrets, keys and certificates replaced while people use the hub."""
