"""`python -m inference.cli` is `ppl`."""

from inference.cli import app

app(prog_name="ppl")
