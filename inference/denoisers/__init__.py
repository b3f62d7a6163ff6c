"""Denoisers: masked-diffusion language models that can compute."""
