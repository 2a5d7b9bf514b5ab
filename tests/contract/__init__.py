"""What any Store must do, run against the one on Redis and against its in-memory twin."""
