"""A local server of the OpenAI protocol: chat completions and completions, answered by posteriors.

A request is read (`reading`), becomes a program and a method (`asked`), waits in a bounded queue, and runs on the
one thread of the models together with others (`worker`); what is chosen of its posterior (`answering`) is written in
the shapes of the protocol (`replies`, `streaming`). `app` joins these to an ASGI application.
"""
