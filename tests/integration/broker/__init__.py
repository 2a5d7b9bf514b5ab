"""The broker layer over kombu, on a real Redis."""
