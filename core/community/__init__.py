"""What people keep: runs and directions of their own, so far."""
