"""Tests of the certifiers: nothing that is proved may be broken."""
