// Log-probs of targets from f32 logits: every device against the loop one would write in plain JavaScript, in one run.
// Benchmark.js decides how often to repeat. Prints gigabytes of logits a second and the ratio to plain JavaScript.
//
//   node bench/logprob.mjs [--vocab 32000] [--mib 256]
import { parseArgs } from 'node:util';
import Benchmark from 'benchmark';
import { devices, scoreLogits } from '../dist/index.js';

const { values } = parseArgs({ options: { vocab: { type: 'string' }, mib: { type: 'string' } } });
const vocab = Number(values.vocab ?? 32000);
const rows = Math.max(2, Math.floor((Number(values.mib ?? 256) * 2 ** 18) / vocab));

const logits = new Float32Array(new SharedArrayBuffer(4 * rows * vocab));
for (let i = 0; i < logits.length; i++) logits[i] = 5 * Math.sin(i * 12.9898) * Math.cos(i * 78.233);
const targets = Int32Array.from({ length: rows }, (_, row) => (row * 7919) % vocab);

function plainJavaScript() {
  let total = 0;
  for (let row = 0; row < rows; row++) {
    const start = row * vocab;
    let max = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < vocab; i++) max = Math.max(max, logits[start + i]);
    let sum = 0;
    for (let i = 0; i < vocab; i++) sum += Math.exp(logits[start + i] - max);
    total += logits[start + targets[row]] - max - Math.log(sum);
  }
  return total;
}

const suite = new Benchmark.Suite();
suite.add('plain JavaScript', plainJavaScript, { minSamples: 3 });
for (const { name, available } of devices()) {
  if (!available) continue;
  for (const threads of [1, 2]) {
    suite.add(
      `covn ${name}, ${threads} thread${threads > 1 ? 's' : ''}`,
      (deferred) => {
        const options = { device: name, threads, ownership: 'borrow', outputs: { token: false } };
        scoreLogits({ logits, vocab, targets }, options).then(() => deferred.resolve());
      },
      { defer: true, minSamples: 5 },
    );
  }
}

console.log(`| ${rows} rows, V = ${vocab}, f32 | GB/s | ratio |\n|---|---|---|`);
let baseline;
suite.on('cycle', ({ target }) => {
  const rate = (4 * rows * vocab * target.hz) / 1e9;
  baseline ??= rate;
  console.log(`| ${target.name} | ${rate.toFixed(2)} | ${(rate / baseline).toFixed(1)} |`);
});
suite.on('error', ({ target }) => {
  console.error(target.error);
  process.exitCode = 1;
});
suite.run({ async: true });
