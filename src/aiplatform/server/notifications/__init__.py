"""Each user's inbox."""
