"""The producer's own logic, without Redis."""
