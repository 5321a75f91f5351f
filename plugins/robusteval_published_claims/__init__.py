"""What published sources claim of attacks and defences: the suites that measure it, and the table that sets both side by side."""
