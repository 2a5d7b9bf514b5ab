"""What a process has once: what a fork makes anew, steps that share a thread, and the secrets it knows."""
