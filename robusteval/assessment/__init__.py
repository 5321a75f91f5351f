"""What the evaluation thinks of itself: checks, findings, grade and verdict. Pure functions of the record; no torch."""
