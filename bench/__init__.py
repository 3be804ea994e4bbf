"""Measuring Hookbox side by side with others: `make bench` and `make capacity`."""
