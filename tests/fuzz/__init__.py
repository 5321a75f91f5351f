"""Readers of strangers' files, asked about bytes that were changed at random: a value or one sentence, and nothing
else. The targets are shared by `make test` (hypothesis, seconds) and `make fuzz` (atheris, as long as one likes)."""
