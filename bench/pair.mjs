// scorePair: log ratio and divergences of two models from both models' logits, against reading both once.
import { bytesOf, decodingTable, gaussians, targetsFor } from './data.mjs';
import { absent, runGroup } from './group.mjs';
import * as plain from './peers/javascript.mjs';

const SUITE = 'pair';
const FEW_BYTES = 2 ** 24;

/** Both models' logits, one half of the memory each. The model's are the reference's, flatter and moved along. */
function problem(dtype, vocab, mib, rowLimit) {
  const size = bytesOf(dtype);
  const count = Math.floor((mib * 2 ** 20) / size / 2);
  const rows = Math.max(1, Math.min(rowLimit ?? Number.POSITIVE_INFINITY, Math.floor(count / vocab)));
  const n = rows * vocab;
  const memory = new SharedArrayBuffer(2 * n * size);
  const reference = gaussians(n, dtype, 5, memory);
  const model = gaussians(n, dtype, 4, memory, n * size);
  const decode = dtype === 'f32' ? undefined : decodingTable(dtype);
  return { dtype, vocab, rows, memory, reference, model, targets: targetsFor(rows, vocab), decode };
}

/** One response a row, so that rows can be checked one by one. */
function ours(bench, data) {
  const { reference, model, dtype, vocab, targets, rows, memory } = data;
  const offsets = Float64Array.from({ length: rows + 1 }, (_, row) => row);
  const options = { ownership: 'borrow', threads: bench.threads, signal: bench.signal };
  const entry = { by: `covn ${bench.device}`, work: memory.byteLength, data };
  entry.call = async () => {
    entry.scores = await bench.covn.scorePair({ reference, model, dtype, vocab, targets, offsets }, options);
  };
  return entry;
}

function check({ by, data, scores }) {
  const expected = plain.pairSums(data, 1, data.decode);
  for (const name of ['logRatio', 'kl']) {
    if (!(Math.abs(scores[name][0] - expected[name]) <= 1e-5 * (1 + Math.abs(expected[name])))) {
      throw new Error(`${by}: ${name} of row 0 is ${scores[name][0]}, in double precision ${expected[name]}`);
    }
  }
}

function plainPeer(data) {
  const rows = Math.max(1, Math.min(data.rows, Math.floor(FEW_BYTES / data.vocab / bytesOf(data.dtype) / 2)));
  const work = 2 * rows * data.vocab * bytesOf(data.dtype);
  return { by: 'plain JavaScript', work, sync: true, call: () => plain.pairSums(data, rows, data.decode) };
}

export async function pair(bench) {
  if (!bench.covn.scorePair) return bench.add(absent(SUITE, 'two models on the same tokens', 'scorePair'));
  const mib = bench.sizes.mib ?? (bench.quick ? 64 : 1024);
  const dtypes = bench.sizes.dtypes ?? ['f32', 'bf16'];
  const vocabs = bench.sizes.vocabs ?? (bench.quick ? [32000] : [128256]);
  for (const dtype of dtypes) {
    for (const vocab of vocabs) {
      const data = problem(dtype, vocab, mib, bench.sizes.rows);
      const entries = [ours(bench, data)];
      await runGroup(bench, {
        ...{ suite: SUITE, case: `${dtype}, V = ${vocab}, ${data.rows} rows`, unit: 'GB/s', limit: 'read' },
        ...{ memory: data.memory, ours: entries, peers: [plainPeer(data)], check: () => entries.forEach(check) },
      });
    }
  }
}
