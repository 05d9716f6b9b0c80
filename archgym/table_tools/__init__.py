"""Recorded tables are made here: planned, trained by any number of processes, checked, and taken elsewhere."""
