"""Questions that a run leaves open, put to verifiers of others, and their answers."""
