"""Studies: one file, one question about a method, asked of the machine (`archgym study NAME`)."""
