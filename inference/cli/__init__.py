"""The command line `ppl`.

    source        what constrains the text: --schema, --db, a pattern, --lark      sources.py, database.py
      + rows      what is asked: a prompt, lines of standard input, JSON Lines     rows.py
      = task      the program of one row                                           tasks.py
      + method    and a model, a seed                                              methods.py, models.py
      = outcome   the posterior of one row, as JSON and for people                 results.py, display.py

A command is a function of groups of options (`groups.py`). What needs no model (`--help`, `check`, `models`) imports
no torch. Standard output holds results and nothing else; progress and errors go to standard error. The exit codes are
those of `exit_codes.py`.
"""

from inference.cli.app import app

__all__ = ["app"]
