"""Five domains, seven methods: what a constraint and the way it is computed do to a model's answers; see README.md."""
