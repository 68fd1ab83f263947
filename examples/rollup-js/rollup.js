// A report that keeps itself up to date: the job of ../rollup, whose README.md says what it does, in JavaScript.

import { get as config } from 'wasi:config/store@0.2.0-rc.1';
import { increment } from 'wasi:keyvalue/atomics@0.2.0-draft';
import { open } from 'wasi:keyvalue/store@0.2.0-draft';
import { log } from 'wasi:logging/logging@0.1.0-draft';

const MINUTE_MS = 60_000;
const CONTEXT = 'rollup';

// What the world asks for: a function `run` in the interface `job`.
export const job = {
  // May be async. What it returns is kept with the run, as bytes.
  async run(grant) {
    try {
      return new TextEncoder().encode(await rollUp(grant));
    } catch (error) {
      // A run fails by throwing the world's `run-error`; an Error that gets as far as the host is a trap.
      throw { tag: error instanceof Permanent ? 'permanent' : 'retryable', val: words(error) };
    }
  },
};

// What trying again won't mend.
class Permanent extends Error {}

async function rollUp({ tick, attempt }) {
  const keep = keepMinutes();
  const state = open('default');
  const report = read(state, 'report') ?? { ticks: 0, retries: 0, first_tick_ms: null, last_tick_ms: null, minutes: {} };
  // A run by hand is of no tick: it has nothing to count.
  if (tick !== undefined) {
    // A u64 of the world is a BigInt. Milliseconds are far below 2^53, and JSON has no BigInt.
    count(report, Number(tick), attempt, keep);
    write(state, 'report', report);
  }
  const summary = `${report.ticks} ticks in ${Object.keys(report.minutes).length} minutes`;
  log('info', CONTEXT, summary);
  const url = config('url');
  if (url !== undefined) await tell(state, url, report.ticks);
  return summary;
}

function keepMinutes() {
  const value = config('keep_minutes') ?? '60';
  if (!/^[0-9]+$/.test(value)) throw new Permanent(`config \`keep_minutes\` = \`${value}\` is not valid: it is no number`);
  return Number(value);
}

function count(report, tickMs, attempt, keep) {
  report.ticks += 1;
  report.retries += attempt > 1 ? 1 : 0;
  report.first_tick_ms ??= tickMs;
  report.last_tick_ms = tickMs;
  const minute = Math.floor(tickMs / MINUTE_MS);
  report.minutes[minute] = (report.minutes[minute] ?? 0) + 1;
  // An object has keys that are small whole numbers in rising order, so the oldest come first.
  const minutes = Object.keys(report.minutes);
  for (const old of minutes.slice(0, -Math.max(keep, 1))) delete report.minutes[old];
}

// Sends the total to the URL, and counts the answers. A target that is away doesn't fail the run: the next one tells it.
async function tell(state, url, total) {
  let response;
  try {
    response = await fetch(url, { method: 'POST', body: String(total) });
  } catch (error) {
    log('warn', CONTEXT, `${url} was not told: ${words(error)}`);
    return;
  }
  const answers = increment(state, 'answers', 1n);
  log('info', CONTEXT, `${url} answered ${response.status}, answer ${answers}`);
}

function read(state, key) {
  const bytes = state.get(key);
  return bytes && JSON.parse(new TextDecoder().decode(bytes));
}

function write(state, key, value) {
  state.set(key, new TextEncoder().encode(JSON.stringify(value)));
}

// What an import throws has the error of the world as its payload.
function words(error) {
  return error.payload?.val ?? error.payload?.tag ?? error.message ?? String(error);
}
