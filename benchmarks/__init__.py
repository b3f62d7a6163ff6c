"""Benchmarks: each module is a command that prints one JSON object; see README.md."""
