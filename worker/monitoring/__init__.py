"""What people and machines watch Lockstep by."""
