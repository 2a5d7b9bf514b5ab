"""What the people who run a cluster ask and tell it."""
