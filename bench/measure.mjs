// Timing by Benchmark.js, which decides how often to repeat. Seconds a call, one entry for each of its samples.
//
// Calls are plain functions and never strings, and there is no setup and no teardown: with either, Benchmark.js compiles
// the function's text anew, outside its closure.
import Benchmark from 'benchmark';

/** @param effort { seconds: to spend, samples: at least so many } */
export function timeSync(call, { seconds, samples }) {
  const benchmark = new Benchmark(call, { maxTime: seconds, minSamples: samples });
  benchmark.run();
  if (benchmark.error) throw benchmark.error;
  return benchmark.stats.sample;
}

/** The same for a call that returns a promise. */
export function timeAsync(call, { seconds, samples }) {
  return new Promise((resolve, reject) => {
    const body = (deferred) => {
      const failed = (error) => {
        reject(error);
        benchmark.abort();
        deferred.resolve();
      };
      call().then(() => deferred.resolve(), failed);
    };
    const benchmark = new Benchmark(body, { defer: true, maxTime: seconds, minSamples: samples });
    benchmark.on('complete', () => (benchmark.error ? reject(benchmark.error) : resolve(benchmark.stats.sample)));
    benchmark.run({ async: true });
  });
}

export function median(values) {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
