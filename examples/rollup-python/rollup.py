"""A report that keeps itself up to date: the job of ../rollup, whose README.md says what it does, in Python."""

import json
from urllib.parse import urlsplit

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.exports.job import Grant, RunError_Permanent, RunError_Retryable
from wit_world.imports import atomics, outgoing_handler, wasi_config_store as config, wasi_keyvalue_store as store
from wit_world.imports.logging import Level, log
from wit_world.imports.types import (
    Fields,
    Method_Post,
    OutgoingBody,
    OutgoingRequest,
    Scheme_Http,
    Scheme_Https,
    Scheme_Other,
)

MINUTE_MS = 60_000
CONTEXT = "rollup"


class Permanent(Exception):
    """What trying again won't mend."""


class Job(exports.Job):
    """What the world asks for: the interface `job`, which gives this class its name."""

    def run(self, grant: Grant) -> bytes:
        # A run fails by raising the world's `run-error`; any other exception that gets as far as the host is a trap.
        try:
            return roll_up(grant).encode()
        except Permanent as error:
            raise Err(RunError_Permanent(str(error)))
        except Exception as error:
            raise Err(RunError_Retryable(words(error)))


def roll_up(grant: Grant) -> str:
    keep = keep_minutes()
    state = store.open("default")
    report = read(state, "report") or {
        "ticks": 0,
        "retries": 0,
        "first_tick_ms": None,
        "last_tick_ms": None,
        "minutes": {},
    }
    # A run by hand is of no tick: it has nothing to count.
    if grant.tick is not None:
        count(report, grant.tick, grant.attempt, keep)
        write(state, "report", report)
    summary = f"{report['ticks']} ticks in {len(report['minutes'])} minutes"
    log(Level.INFO, CONTEXT, summary)
    url = config.get("url")
    if url is not None:
        tell(state, url, report["ticks"])
    return summary


def keep_minutes() -> int:
    value = config.get("keep_minutes") or "60"
    if not (value.isascii() and value.isdigit()):
        raise Permanent(f"config `keep_minutes` = `{value}` is not valid: it is no number")
    return int(value)


def count(report: dict, tick_ms: int, attempt: int, keep: int) -> None:
    report["ticks"] += 1
    report["retries"] += attempt > 1
    if report["first_tick_ms"] is None:
        report["first_tick_ms"] = tick_ms
    report["last_tick_ms"] = tick_ms
    minutes = report["minutes"]
    minute = str(tick_ms // MINUTE_MS)
    minutes[minute] = minutes.get(minute, 0) + 1
    newest = sorted(minutes, key=int)[-max(keep, 1) :]
    report["minutes"] = {minute: minutes[minute] for minute in newest}


def tell(state: store.Bucket, url: str, total: int) -> None:
    """Sends the total to the URL, and counts the answers.

    A target that is away doesn't fail the run: the next one tells it.
    """
    try:
        status = post(url, str(total).encode())
    except (Err, ValueError) as error:
        log(Level.WARN, CONTEXT, f"{url} was not told: {words(error)}")
        return
    answers = atomics.increment(state, "answers", 1)
    log(Level.INFO, CONTEXT, f"{url} answered {status}, answer {answers}")


def post(url: str, body: bytes) -> int:
    """Sends a body, and gives the status of the response."""
    parts = urlsplit(url)
    if not (parts.scheme and parts.netloc):
        raise ValueError("it is no valid URL")
    request = OutgoingRequest(Fields.from_list([("content-length", str(len(body)).encode())]))
    request.set_method(Method_Post())
    request.set_scheme({"http": Scheme_Http(), "https": Scheme_Https()}.get(parts.scheme, Scheme_Other(parts.scheme)))
    request.set_authority(parts.netloc)
    request.set_path_with_query((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    outgoing = request.body()
    future = outgoing_handler.handle(request, None)
    # The stream is a part of the body, so it is closed first. It takes 4096 bytes in one call.
    with outgoing.write() as stream:
        stream.blocking_write_and_flush(body)
    OutgoingBody.finish(outgoing, None)
    with future.subscribe() as answered:
        answered.block()
    # There is an answer, and nobody has taken it: what is left is whether the request failed.
    match future.get():
        case Ok(Ok(response)):
            with response:
                return response.status()
        case Ok(Err() as error):
            raise error
        case other:
            raise ValueError(f"no response: {other}")


def read(state: store.Bucket, key: str):
    value = state.get(key)
    return None if value is None else json.loads(value)


def write(state: store.Bucket, key: str, value) -> None:
    # As the other languages write it: without spaces.
    state.set(key, json.dumps(value, separators=(",", ":")).encode())


def words(error: Exception) -> str:
    """What an error says. An import raises `Err` with the error of the world in it, of which many have a text."""
    if isinstance(error, Err):
        return str(getattr(error.value, "value", error.value))
    return str(error)
