"""The command and clients in processes of their own, against a real Redis."""
