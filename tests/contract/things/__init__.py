"""The client and the command against a real Redis; a worker's part is played by hand."""
