"""The inner problems: tasks, what steps their environments, what is alive between windows, and episodes counted."""
