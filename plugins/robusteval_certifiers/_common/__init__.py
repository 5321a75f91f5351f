"""What the certifiers share."""
