"""The cycles of a run: where they come from, what is kept of them, and the files."""
