// sampleLogits: N tokens a row with their log-probs. One token a row against reading the logits; many against what
// others take for the same draws.
import { gaussians } from './data.mjs';
import { runGroup } from './group.mjs';
import * as plain from './peers/javascript.mjs';

const SUITE = 'sample';
const sizes = [1, 16, 256, 4096];

/** Batches of logits, one after another: a call's are then not in a cache since the last. */
function problem(vocab, rows, mib) {
  const count = rows * vocab;
  const batches = Math.max(1, Math.floor((mib * 2 ** 20) / 4 / count));
  const memory = new SharedArrayBuffer(4 * count * batches);
  gaussians(count * batches, 'f32', 5, memory);
  return { vocab, rows, memory, batches };
}

function ours(bench, { vocab, rows, memory, batches }, N) {
  const options = { N, seed: 1, ownership: 'borrow', threads: bench.threads, signal: bench.signal };
  // Allocated beforehand, as docs/bench.md says.
  const outputs = [Int32Array, Float32Array].map((type) => new type(new SharedArrayBuffer(4 * rows * N)));
  options.outputs = { ids: outputs[0], logProb: outputs[1] };
  const entry = { by: `covn ${bench.device}`, work: N === 1 ? 4 * rows * vocab : 1e3 * rows * N };
  let calls = 0;
  entry.call = async () => {
    const logits = new Float32Array(memory, 4 * rows * vocab * (calls++ % batches), rows * vocab);
    entry.drawn = { logits, ...(await bench.covn.sampleLogits({ logits, vocab }, options)) };
  };
  return entry;
}

/** That tokens are drawn as often as they should be: the mean log-prob of those of a row is minus its entropy. */
function check({ drawn: { logits, logProb } }, { vocab }, N) {
  const { entropy, deviation } = plain.surprisal(logits.subarray(0, vocab));
  let mean = 0;
  for (let i = 0; i < N; i++) mean -= logProb[i] / N;
  // Seven standard errors.
  if (!(Math.abs(mean - entropy) <= (7 * deviation) / Math.sqrt(N))) {
    throw new Error(`tokens have ${mean} nats, the distribution ${entropy}`);
  }
}

export async function sample(bench) {
  const mib = bench.sizes.mib ?? (bench.quick ? 16 : 256);
  const shapes = [
    [32000, 256],
    [128256, 64],
  ];
  const vocabs = bench.sizes.vocabs ?? (bench.quick ? [32000] : shapes.map(([vocab]) => vocab));
  for (const vocab of vocabs) {
    const usual = shapes.find(([v]) => v === vocab)?.[1] ?? Math.max(1, Math.floor(2 ** 23 / vocab));
    const rows = bench.sizes.rows ?? (bench.quick ? 16 : usual);
    const data = problem(vocab, rows, mib);
    for (const N of sizes) {
      const mine = ours(bench, data, N);
      const few = Math.max(1, Math.min(rows, Math.floor(2 ** 20 / vocab)));
      const logits = new Float32Array(data.memory, 0, few * vocab);
      const script = { by: 'plain JavaScript', sync: true, call: () => plain.sampleTokens(logits, vocab, few, N) };
      script.work = N === 1 ? 4 * few * vocab : 1e3 * few * N;
      await runGroup(bench, {
        ...{ suite: SUITE, case: `V = ${vocab}, ${rows} rows, N = ${N}`, ours: [mine] },
        ...(N === 1 ? { unit: 'GB/s of logits', limit: 'read', memory: data.memory } : { unit: 'million tokens/s' }),
        peers: [script, ...bench.peers.entries(SUITE, { vocab, rows, N }, bench.effort)],
        check: () => check(mine, data, N),
      });
    }
  }
}
