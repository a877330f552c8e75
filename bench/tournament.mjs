// pairwiseCoverage: how often each of M models exceeds each other by each threshold, in ordered pairs of log-probs a
// second (every pair is compared with all thresholds).

import { gaussians } from './data.mjs';
import { runGroup } from './group.mjs';
import * as plain from './peers/javascript.mjs';

const SUITE = 'tournament';
const N = [1, 2, 4, 8, 16, 64, 256, 1024];

export async function tournament(bench) {
  const models = bench.quick ? 16 : 64;
  const responses = bench.sizes.rows ?? (bench.quick ? 10_000 : 100_000);
  const logProbs = new Float64Array(new SharedArrayBuffer(8 * models * responses));
  gaussians(logProbs.length, 'f32', 20).forEach((value, i) => {
    logProbs[i] = value - 300;
  });
  const thresholds = N.map(Math.log);
  // As many as show the rate, and a check that takes no time.
  const few = Math.min(responses, bench.quick ? 200 : 2000);
  const script = { by: 'plain JavaScript', work: models ** 2 * few, sync: true };
  script.call = () => plain.pairwiseCounts(logProbs, models, few, responses, thresholds);
  const mine = { by: `covn ${bench.device}`, work: models ** 2 * responses };
  const options = { models, N, ownership: 'borrow', threads: bench.threads, signal: bench.signal };
  mine.call = () => bench.covn.pairwiseCoverage({ logProbs, ...options });

  // The same responses as the loop reads, exactly.
  const first = new Float64Array(new SharedArrayBuffer(8 * models * few));
  for (let model = 0; model < models; model++) {
    first.set(logProbs.subarray(model * responses, model * responses + few), model * few);
  }
  const shares = await bench.covn.pairwiseCoverage({ logProbs: first, ...options });
  const counts = script.call();
  const wrong = shares.findIndex((share, i) => share !== counts[i] / few);
  if (wrong >= 0) throw new Error(`pairwiseCoverage gives ${shares[wrong]} for ${counts[wrong] / few} at ${wrong}`);

  await runGroup(bench, {
    ...{ suite: SUITE, case: `${models} models, ${responses} responses, ${N.length} thresholds` },
    ...{ unit: '1e9 pairs/s', ours: [mine] },
    peers: [script, ...bench.peers.entries(SUITE, { models, responses, N }, bench.effort)],
  });
}
