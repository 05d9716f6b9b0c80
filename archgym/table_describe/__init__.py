"""`archgym table describe`: what a recorded table can tell and what it cannot, with its intervals."""
