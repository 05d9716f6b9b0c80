"""What studies have in common, and what their arms are and measure; the studies themselves lie in `archgym.studies`."""
