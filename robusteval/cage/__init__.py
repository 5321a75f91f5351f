"""The cage: what strangers' models and plugins are at is watched from beside, and ended past its limit."""
