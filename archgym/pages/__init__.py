"""What pages are made of: their skeleton, and pictures of spaces, searches and comparisons."""
