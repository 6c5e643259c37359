"""What knows no other room: compiled functions, randomness, processes, files, pages."""
