"""Measures: pure functions of the record, each a plugin. No torch in here."""
