"""What a certifier sees and returns: the graph of a classifier in float64, the arithmetic, statements and proofs."""
