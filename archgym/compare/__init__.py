"""`archgym compare`: agents on equal terms, on live training or on recorded tables; scored, printed and drawn."""
