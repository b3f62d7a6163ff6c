"""Engines: language models at work, one runtime in a file; `load` chooses."""
