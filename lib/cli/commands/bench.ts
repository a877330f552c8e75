/** `covn bench`: how fast covn is here, beside the machine's limits and other packages. The suites are in bench/. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import * as covn from '../../index.ts';
import type { Context } from '../context.ts';
import { names, number, sizes } from '../options.ts';
import { UsageError } from '../usage.ts';

/** What bench/index.mjs exports. */
interface Bench {
  readonly suiteNames: readonly string[];
  runBench(options: object): Promise<object>;
}

interface Flags {
  readonly threads?: number;
  readonly dtype?: string[];
  readonly vocab?: number[];
  readonly rows?: number;
  readonly mib?: number;
  readonly peers: boolean;
  readonly quick?: boolean;
  readonly json?: boolean;
}

const DTYPES = ['f32', 'bf16', 'f16'];

function dtypes(text: string): string[] {
  const list = names(text);
  if (list.every((name) => DTYPES.includes(name))) return list;
  throw new InvalidArgumentError(`Expected ${DTYPES.join(', ')}, separated by commas.`);
}

async function run(context: Context, wanted: string[], flags: Flags, command: string, version: string): Promise<void> {
  // The suites lie beside lib and dist in the package, and are the same for both.
  const { suiteNames, runBench } = (await import(new URL('../../../bench/index.mjs', import.meta.url).href)) as Bench;
  const unknown = wanted.find((name) => !suiteNames.includes(name));
  if (unknown !== undefined)
    throw new UsageError(`Expected a suite (${suiteNames.join(', ')}) but received ${unknown}`);
  const { threads, dtype, vocab, rows, mib, peers, quick } = flags;
  const { stderr, stdout, signal } = context;
  const step = (label: string) => void (stderr.isTTY && stderr.write(`\r\x1b[K${label} ...`));
  const clear = () => void (stderr.isTTY && stderr.write('\r\x1b[K'));
  try {
    const result = await runBench({
      ...{ covn, version, command, threads, rows, mib, peers, quick, signal, step },
      ...{ names: wanted.length > 0 ? [...new Set(wanted)] : suiteNames, dtypes: dtype, vocabs: vocab },
      print: (text: string) => {
        clear();
        if (!context.json) stdout.write(text);
      },
    });
    context.emit(result);
  } finally {
    clear();
  }
}

export function addBench(program: Command, context: (json?: boolean) => Context): void {
  const whole = (max: number) => number(1, max, true);
  program
    .command('bench')
    .summary('how fast covn is here, beside the limits of the machine and other packages')
    .description(
      "Times covn's functions on this machine, each beside the machine's own limit (reading memory, multiply-adds) and " +
        'other packages at the same work, in one run: plain JavaScript always, onnxruntime-node and TensorFlow.js where ' +
        'they are installed, numpy and PyTorch where python3 has them. The machine should be otherwise idle.',
    )
    .argument(
      '[suites...]',
      'machine, logprob, hidden, pair, sample, model, learn, tournament, best-of-n (default: all)',
    )
    .option('--threads <n>', 'worker threads (default: all)', whole(4096))
    .option('--dtype <list>', 'storage formats: f32, bf16, f16', dtypes)
    .option('--vocab <list>', 'vocabulary sizes', sizes(true))
    .option('--rows <n>', 'rows, responses or problems', whole(1e9))
    .option('--mib <n>', 'MiB of logits (default: 1024)', whole(65536))
    .option('--no-peers', 'plain JavaScript only')
    .addOption(new Option('--quick', 'small sizes, seconds instead of minutes: rates of caches, not of memory'))
    .option('--json', 'print one JSON document, nothing else')
    .addHelpText('after', '\nExamples:\n  covn bench --quick\n  covn bench logprob --vocab 32000,128256 --dtype bf16\n')
    .action((suites: string[], flags: Flags, self: Command) => {
      const root = self.parent as Command & { rawArgs: string[] };
      return run(context(flags.json), suites, flags, ['covn', ...root.rawArgs].join(' '), root.version() ?? '');
    });
}
