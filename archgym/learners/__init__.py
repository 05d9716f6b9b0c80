"""What makes gradient steps: one file per algorithm and way of computing it, behind one protocol per algorithm."""
