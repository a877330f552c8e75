/** What a command needs of the world: streams, colours, a progress bar, output for people or machines. */

import { Presets, SingleBar } from 'cli-progress';
import pc from 'picocolors';
import { printable } from '../io/index.ts';

/** A stream that text is written to. */
export interface CliStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** The surroundings of a run: the process, or a test. */
export interface CliIo {
  readonly stdout: CliStream;
  readonly stderr: CliStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Ends the run. */
  readonly signal?: AbortSignal;
}

/** One command's run. */
export interface Context extends CliIo {
  readonly json: boolean;
  readonly colors: ReturnType<typeof pc.createColors>;
  /** A line for people; nothing under --json. */
  say(line?: string): void;
  /** The result for machines, under --json only: one JSON document. */
  emit(result: object): void;
  /** A remark about the data, on stderr; under --json it is part of the result instead. */
  warn(warnings: readonly string[]): void;
}

/** Colours for a stream: on a terminal, unless NO_COLOR is set or TERM is dumb. */
export function colorsFor(stream: CliStream, env: CliIo['env']) {
  return pc.createColors(stream.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb');
}

/** Typed arrays as arrays; everything else as JSON.stringify has it (infinities become null). */
export function toJson(value: unknown): string {
  const plain = (_: string, item: unknown) => (ArrayBuffer.isView(item) ? Array.from(item as Float64Array) : item);
  return JSON.stringify(value, plain, 2);
}

export function makeContext(io: CliIo, json: boolean): Context {
  const colors = colorsFor(io.stdout, io.env);
  const warned = colorsFor(io.stderr, io.env);
  return {
    ...io,
    json,
    colors,
    say: (line = '') => void (json || io.stdout.write(`${line}\n`)),
    emit: (result) => void (json && io.stdout.write(`${toJson(result)}\n`)),
    warn: (warnings) => {
      if (!json) for (const text of warnings) io.stderr.write(`${warned.yellow('warning:')} ${printable(text)}\n`);
    },
  };
}

/** Runs work that reports its progress, with a bar on stderr where that is a terminal. */
export async function withProgress<T>(
  context: Context,
  label: string,
  work: (onProgress: (fraction: number) => void) => Promise<T>,
): Promise<T> {
  if (!context.stderr.isTTY || context.json) return work(() => {});
  const options = { format: `${label} {bar} {percentage} %`, clearOnComplete: true, hideCursor: true };
  const stream = context.stderr as NodeJS.WriteStream;
  const bar = new SingleBar({ ...options, stream }, Presets.shades_classic);
  bar.start(1, 0);
  try {
    return await work((fraction) => bar.update(fraction));
  } finally {
    bar.stop();
  }
}
