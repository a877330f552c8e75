// scoreHidden: from hidden states and the weight of the LM head to log-probs, against the multiply-adds that the processor
// can do, and against a matrix product followed by a log-softmax, which also fills rows * V logits of memory.
import { bytesOf, decodingTable, gaussians, targetsFor } from './data.mjs';
import { absent, figure, runGroup } from './group.mjs';
import * as plain from './peers/javascript.mjs';

const SUITE = 'hidden';

function problem(dtype, { rows, width, vocab }) {
  const hidden = gaussians(rows * width, dtype, 1);
  // Logits of standard deviation 5.
  const weight = gaussians(vocab * width, dtype, 5 / Math.sqrt(width));
  const decode = dtype === 'f32' ? undefined : decodingTable(dtype);
  return { dtype, sd: 5, rows, width, vocab, hidden, weight, targets: targetsFor(rows, vocab), decode };
}

function ours(bench, data) {
  const { dtype, hidden, weight, width, targets } = data;
  const options = { ownership: 'borrow', threads: bench.threads, signal: bench.signal, outputs: { token: true } };
  const entry = { by: `covn ${dtype}`, work: 2 * data.rows * width * data.vocab, data };
  entry.call = async () => {
    entry.scores = await bench.covn.scoreHidden({ hidden, weight, dtype, width, targets }, options);
  };
  return entry;
}

function check({ by, data, scores }) {
  const logits = plain.headLogits(data, 0, data.vocab, data.decode);
  const [expected] = plain.logProbs({ logits, vocab: data.vocab, targets: data.targets }, 1);
  if (!(Math.abs(scores.token[0] - expected) <= 1e-3)) {
    throw new Error(`${by}: the log-prob of row 0 is ${scores.token[0]}, in double precision ${expected}`);
  }
}

/** How far the process grows while a call runs, in MB. */
async function extraMemory(call) {
  const before = process.memoryUsage.rss();
  let most = before;
  const look = () => {
    most = Math.max(most, process.memoryUsage.rss());
  };
  const timer = setInterval(look, 2);
  await call();
  look();
  clearInterval(timer);
  return (most - before) / 1e6;
}

function plainPeer({ hidden, weight, width, vocab }) {
  const tokens = Math.min(vocab, 2048);
  const call = () => plain.headLogits({ hidden, weight, width }, 0, tokens);
  return { by: 'plain JavaScript, product alone', work: 2 * tokens * width, sync: true, call };
}

export async function hidden(bench) {
  if (!bench.covn.scoreHidden) return bench.add(absent(SUITE, 'log-probs from hidden states', 'scoreHidden'));
  const small = bench.quick || bench.sizes.mib < 64;
  const vocab = bench.sizes.vocabs?.[0] ?? (small ? 8192 : 128256);
  const shape = { rows: bench.sizes.rows ?? (small ? 32 : 512), width: small ? 512 : 4096, vocab };
  const wanted = bench.sizes.dtypes ?? ['f32', 'bf16'];
  const name = `${shape.rows} rows, D = ${shape.width}, V = ${vocab}`;
  const entries = wanted.map((dtype) => ours(bench, problem(dtype, shape)));
  const peers = wanted.flatMap((dtype) => bench.peers.entries(SUITE, { dtype, ...shape }, bench.effort));
  const f32 = entries.find(({ data }) => data.dtype === 'f32');
  const growth = [];
  for (const { by, call } of entries) {
    await call(); // threads' stacks and the allocator's own pages are there from now on
    growth.push(figure(SUITE, `memory, ${name}`, by, 'extra memory', await extraMemory(call), 'MB'));
  }
  await runGroup(bench, {
    ...{ suite: SUITE, case: name, unit: 'GFLOP/s', limit: 'fma', ours: entries },
    peers: [...(f32 ? [plainPeer(f32.data)] : []), ...peers],
    check: () => entries.forEach(check),
  });
  for (const { by, data } of entries) {
    const weight = (data.vocab * data.width * bytesOf(data.dtype)) / 1e6;
    growth.push(figure(SUITE, `memory, ${name}`, `(the weight, ${by.slice(5)})`, 'input', weight, 'MB'));
  }
  const logits = (4 * shape.rows * vocab) / 1e6;
  growth.push(figure(SUITE, `memory, ${name}`, '(f32 logits, were there any)', 'logits', logits, 'MB'));
  bench.add(growth);
}
