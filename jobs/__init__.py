"""What `ray job submit` starts."""
