"""A plugin to begin with: a whole distribution, written from templates, whose own tests pass at once."""
