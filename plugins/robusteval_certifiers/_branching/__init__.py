"""Branch and bound: parts of a ball, their bounds, and where to split them."""
