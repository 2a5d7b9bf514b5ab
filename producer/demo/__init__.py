"""`make demo`: a cluster of five nodes changes, fails and rolls back before your eyes."""
