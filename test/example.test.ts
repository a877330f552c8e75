/** The example of a model in another runtime. */

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const path = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const installed = existsSync(path('bench/node_modules/onnxruntime-node'));

// onnxruntime-node is large and no dependency of covn's.
test.skipIf(!installed)(
  'examples/rollout.mjs runs (where `npm run bench:peers` installed onnxruntime-node)',
  async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [path('examples/rollout.mjs')], { timeout: 60_000 });
    const lines = stdout.trim().split('\n');
    expect(lines.length).toBe(8);
    for (const line of lines) {
      // The stand-in's logits are 3 for the token after the last and 0 for 7 others.
      const [, prompt, drawn, nats] =
        /^prompt (\d), response \d: ([\d ]+?)(?: \.\.\. \(cut off\))? {3}(-[\d.]+) nats$/.exec(line)!;
      let last = prompt === '0' ? 0 : 3;
      let logProb = 0;
      for (const token of drawn!.split(' ').map(Number)) {
        logProb += (token === last + 1 ? 3 : 0) - Math.log(Math.exp(3) + 7);
        last = token;
      }
      expect(Number(nats)).toBeCloseTo(logProb, 3);
    }
  },
);
