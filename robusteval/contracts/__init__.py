"""What a plugin author reads. Import from `robusteval.api`, which re-exports all of it."""
