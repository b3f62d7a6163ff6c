"""Peers: other libraries on the same model and task, each run by the Python of its own virtual environment."""
