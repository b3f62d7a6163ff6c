"""Diagnosis: what a run says of its own error, what others say of it, and in words whether to trust it."""
