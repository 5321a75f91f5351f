"""Certifiers that come with robusteval: lower bounds of the margin over whole balls."""
