"""What is refused, and what must have been taken hold of: found out before the work."""
