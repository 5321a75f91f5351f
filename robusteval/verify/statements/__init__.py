"""What a verification found as a file that can be signed, and checking such a signature."""
