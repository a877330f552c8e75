// A group: things that do the same work, timed in the same run, beside the machine's own limit.
import { median, timeAsync, timeSync } from './measure.mjs';

/**
 * What was asked for and cannot be timed: reported, never left out.
 * @typedef {{ missing: string }} Missing
 */

/** The machine's limit now: its median of three, in the unit of the group. */
async function limitNow({ covn, threads, signal }, { limit, memory }) {
  const limits = await covn.machineLimits({
    memory,
    threads,
    repeats: 3,
    signal,
    ...(memory ? {} : { bytes: 2 ** 20 }),
  });
  return limits[limit];
}

/**
 * Times covn in rounds, with the machine's limit before each and after the last, so that both see the same machine: its
 * memory can be half as fast from one second to the next. Then the peers, one after another.
 *
 * @param bench the run: covn, threads, rounds, roundEffort, effort (of peers), signal, step(label), add(records)
 * @param spec suite, case; unit of `work` / 1e9 a second; limit: 'read' | 'fma' | undefined; memory: what the limit reads;
 *   ours: [{ by, work, call }] with call returning a promise, or sync: true;
 *   peers: [{ by, work, call, sync? } or { by, measure }] where measure resolves to [{ by, how?, work, seconds } or
 *   Missing]. `by` is the same in every run; `how` has versions and what was found to be fastest
 */
export async function runGroup(bench, spec) {
  const limits = [];
  const ours = spec.ours.map((entry) => ({ ...entry, seconds: [], inRounds: [] }));
  const look = async () => {
    if (spec.limit) limits.push(await limitNow(bench, spec));
  };
  for (let round = 0; round < bench.rounds; round++) {
    bench.step(`${spec.suite}: ${spec.case}${bench.rounds > 1 ? `, round ${round + 1} of ${bench.rounds}` : ''}`);
    await look();
    for (const entry of ours) {
      const seconds = await time(entry, bench.roundEffort);
      entry.seconds.push(...seconds);
      entry.inRounds.push(median(seconds));
    }
  }
  await look();
  spec.check?.();
  const entries = [...ours];
  for (const peer of spec.peers ?? []) {
    bench.step(`${spec.suite}: ${spec.case}, ${peer.by}`);
    entries.push(...(await timePeer(peer, bench.effort)));
  }
  bench.add(records(spec, entries, limits));
}

const time = ({ call, sync }, effort) => (sync ? timeSync(call, effort) : timeAsync(call, effort));

async function timePeer(peer, effort) {
  if (peer.missing) return [peer];
  try {
    if (peer.measure) return await peer.measure();
    return [{ ...peer, seconds: await time(peer, effort) }];
  } catch (error) {
    return [{ by: peer.by, missing: `failed: ${error.message.split('\n')[0].slice(0, 120)}` }];
  }
}

function records({ suite, case: name, unit, limit }, entries, limits) {
  const limitValue = limits.length > 0 ? median(limits) : undefined;
  const rate = ({ work, seconds }) => work / median(seconds) / 1e9;
  // Of the limits on both sides of each round, where there were rounds.
  const ofLimit = ({ work, inRounds }, value) =>
    inRounds
      ? median(inRounds.map((seconds, i) => work / seconds / 1e9 / ((limits[i] + limits[i + 1]) / 2)))
      : value / limitValue;
  const first = rate(entries[0]);
  return entries.map((entry) => {
    const common = { suite, case: name, by: entry.by, ...(entry.how && { how: entry.how }) };
    if (entry.missing) return { ...common, status: entry.missing };
    const value = rate(entry);
    return {
      ...common,
      status: 'measured',
      metric: 'rate',
      value,
      unit,
      seconds: median(entry.seconds),
      fastest: Math.min(...entry.seconds),
      samples: entry.seconds.length,
      ...(limitValue && { limit, limitValue, limits, ofLimit: ofLimit(entry, value) }),
      timesAsFast: first / value,
    };
  });
}

/** One figure that is not a rate. */
export const figure = (suite, name, by, metric, value, unit) => ({
  ...{ suite, case: name, by, status: 'measured', metric, value, unit },
});

/** A case that this build of covn has no function for. */
export const absent = (suite, name, what) => [
  { suite, case: name, by: 'covn', status: `${what} is not in this build` },
];
