"""Executors that need more than this machine."""
