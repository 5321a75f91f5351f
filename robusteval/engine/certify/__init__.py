"""Certificates: balls of which it is proved that no adversarial lies in them."""
