"""Shared settings of the test suite."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "ppl",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("ppl")
