"""Counts its runs, wherever each of them happens."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.job import Grant, RunError_Retryable
from wit_world.imports import atomics, wasi_config_store as config, wasi_keyvalue_store as store
from wit_world.imports.logging import Level, log


class Job(exports.Job):
    """What the world asks for: the interface `job`, which gives this class its name."""

    def run(self, grant: Grant) -> bytes:
        # A run fails by raising the world's `run-error`: retryable, or `RunError_Permanent` where trying again won't mend it.
        try:
            return count(grant).encode()
        except Err as error:
            raise Err(RunError_Retryable(str(getattr(error.value, "value", error.value))))


def count(grant: Grant) -> str:
    greeting = config.get("greeting") or "hello"
    runs = atomics.increment(store.open("default"), "runs", 1)
    log(Level.INFO, "{{name}}", f"{greeting} from attempt {grant.attempt} of {grant.run}")
    return f"run {runs}"
