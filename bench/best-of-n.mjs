// passAtN: the unbiased estimate of Pass@N with its interval, over many problems.
import { runGroup } from './group.mjs';
import * as plain from './peers/javascript.mjs';

const SUITE = 'best-of-n';

export async function bestOfN(bench) {
  const samples = 1000;
  const N = 100;
  const problems = bench.sizes.rows ?? (bench.quick ? 10_000 : 1_000_000);
  // Every count of right answers, in an order without pattern (7919 is prime).
  const correct = Int32Array.from({ length: problems }, (_, i) => (i * 7919) % (samples + 1));
  let estimate;
  const mine = { by: 'covn, with its interval', work: 1e3 * problems, sync: true };
  mine.call = () => {
    estimate = bench.covn.passAtN({ samples, correct }, N);
  };
  const script = { by: 'plain JavaScript, product of min(c, N) factors', work: 1e3 * problems, sync: true };
  let mean;
  script.call = () => {
    mean = plain.passAtN(samples, correct, N);
  };
  await runGroup(bench, {
    ...{ suite: SUITE, case: `Pass@${N} of ${samples} samples, ${problems} problems`, unit: 'million problems/s' },
    ours: [mine],
    peers: [script, ...bench.peers.entries(SUITE, { n: samples, N, problems }, bench.effort)],
    check: () => {
      script.call();
      if (!(Math.abs(estimate.value - mean) <= 1e-12)) {
        throw new Error(`passAtN gives ${estimate.value}, the product ${mean}`);
      }
    },
  });
}
