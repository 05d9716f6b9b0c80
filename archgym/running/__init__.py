"""Searches and trainings that a person starts: from a command line to a run folder and its report, one or many."""
