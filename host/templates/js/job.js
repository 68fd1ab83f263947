// Counts its runs, wherever each of them happens.

import { get as config } from 'wasi:config/store@0.2.0-rc.1';
import { increment } from 'wasi:keyvalue/atomics@0.2.0-draft';
import { open } from 'wasi:keyvalue/store@0.2.0-draft';
import { log } from 'wasi:logging/logging@0.1.0-draft';

// What the world asks for: a function `run` in the interface `job`. It may be async.
export const job = {
  run(grant) {
    try {
      return new TextEncoder().encode(count(grant));
    } catch (error) {
      // A run fails by throwing the world's `run-error`: `retryable`, or `permanent` where trying again won't mend it.
      throw { tag: 'retryable', val: error.payload?.val ?? error.message };
    }
  },
};

function count(grant) {
  const greeting = config('greeting') ?? 'hello';
  const runs = increment(open('default'), 'runs', 1n);
  log('info', '{{name}}', `${greeting} from attempt ${grant.attempt} of ${grant.run}`);
  return `run ${runs}`;
}
