"""The client: accepts operations, waits for them, and reads how they ended."""
