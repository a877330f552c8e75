import { spawn, spawnSync } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { FormatError, readLogProbs, readNpy, readSamples, readTable } from '../lib/io/index.ts';
import { refusal, temporaryFiles } from './support/files.ts';

const { folder, file } = temporaryFiles();

describe('text', () => {
  it('must be UTF-8: the line is named', async () => {
    const latin = Buffer.from('id,p\ncafe,-1.5\ncaf\xe9,-2.5\ncaf\xe8,-3.5\n', 'latin1');
    for (const content of [latin, gzipSync(latin)]) {
      const error = await refusal(readTable(file(content)));
      expect([error.place.line, error.expected]).toEqual([3, 'UTF-8 text']);
    }
    expect((await refusal(readTable(file(Buffer.from('{"a":"caf\xe9"}\n', 'latin1'))))).expected).toBe('UTF-8 text');
    expect((await refusal(readTable(file(Buffer.from('a\nx\nend\xe2\x82', 'latin1'))))).place.line).toBe(3);
    expect((await refusal(readTable(file(Buffer.from('a\nx\xff\xff\xff\xff\n', 'latin1'))))).place.line).toBe(2);
  });

  it('may have characters that cross chunks, and a bad byte far down', async () => {
    for (const shift of [0, 1, 2, 3]) {
      const rows = `id\n${'x'.repeat(shift)}${'\u{1F600}é€\n'.repeat(30_000)}`;
      const table = await readTable(file(rows), { format: 'delimited' });
      expect(table.lines).toHaveLength(30_000);
      expect(new Set(table.cells.get('id')).size).toBe(shift === 0 ? 1 : 2);
      const bad = Buffer.concat([Buffer.from(rows), Buffer.from([0xe9, 0x0a])]);
      expect((await refusal(readTable(file(bad), { format: 'delimited' }))).place.line).toBe(30_002);
    }
  });

  it.skipIf(process.platform === 'win32')('may come through a named pipe', async () => {
    const pipe = join(folder, 'pipe');
    expect(spawnSync('mkfifo', [pipe]).status).toBe(0);
    for (const content of ['a,b\n-1.5,-2.5\n', gzipSync('a,b\n-1.5,-2.5\n')]) {
      const read = readLogProbs(pipe);
      const out = createWriteStream(pipe);
      out.write(content.slice(0, 3));
      setTimeout(() => out.end(content.slice(3)), 20);
      expect((await read).logProbs).toEqual(Float64Array.of(-1.5, -2.5));
    }
  });

  it.skipIf(process.platform === 'win32')('a pipe can be left early and interrupted', async () => {
    const pipe = join(folder, 'slow');
    spawnSync('mkfifo', [pipe]);
    const writer = spawn('sh', ['-c', `(printf 'a,b\\n-1.5,-2\\n'; sleep 5) > '${pipe}'`], { detached: true });
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('enough')), 300);
    const start = performance.now();
    const reading = readLogProbs(pipe, { signal: controller.signal });
    await expect(reading).rejects.toThrow('enough');
    expect(performance.now() - start).toBeLessThan(3000);
    process.kill(-writer.pid!);
  });

  it('is refused as JSON that is not one object a line, with what to do', async () => {
    const read = async (text: string) => (await refusal(readTable(file(text)))).hint;
    expect(await read('{\n  "a": 1\n}\n')).toContain('jq -c .');
    expect(await read('{"samples": [\n{"a": 1}\n]}\n')).toContain('jq -c');
    expect(await read('[\n{"a": 1}\n]\n')).toContain("jq -c '.[]'");
    expect(await read('{"a":-Infinity}\n')).toContain('("-Infinity")');
    expect(await read('{"a":1}\n{"a": Infinity}\n')).toContain('("Infinity")');
    expect(await read('{"a":NaN}\n')).toContain('missing value');
  });

  it('has a delimiter of one character', async () => {
    for (const delimiter of ['', 'ab']) {
      await expect(readTable(file('a,b\n1,2\n'), { delimiter })).rejects.toThrow('Expected one character');
    }
  });
});

describe('columns of a wide table', () => {
  it('are not dropped for one bad cell at their head', async () => {
    const error = await refusal(readLogProbs(file('id,m1,m2\n1,error,-2.5\n2,-1.5,-2\n'), { sequence: 'id' }));
    expect([error.place.line, error.place.column, error.found]).toEqual([2, 'm1', "'error'"]);
    expect(error.hint).toContain('--value');
  });

  it('are dropped where they are text, a numeral or two aside', async () => {
    const words = Array.from({ length: 40 }, (_, i) => `${i},${i === 20 ? '1984' : 'word'},${-i - 0.5}`);
    const read = await readLogProbs(file(`id,word,m\n${words.join('\n')}\n`), { sequence: 'id' });
    expect([read.models, read.warnings]).toEqual([['m'], ['columns: not numbers, left out: word']]);
    const none = await refusal(readLogProbs(file('id,word\n1,of\n'), { sequence: 'id' }));
    expect(none.found).toBe('no column of numbers');
  });
});

describe('places', () => {
  it('are given for responses that differ', async () => {
    const one = file('id,logprob\nx,-1\ny,-2\ny,-2\n', 'one.csv');
    const read = (text: string) => refusal(readLogProbs([one, file(text, 'two.csv')], { sequence: 'id' }));
    expect((await read('id,logprob\nx,-1\nz,-1\n')).place.line).toBe(3);
    expect((await read('id,logprob\nx,-1\n')).expected).toContain("'y' of one (");
    expect((await read('id,logprob\nx,-1\n')).expected).toContain('line 3');
    expect((await read('id,logprob\nx,-1\ny,-2\n')).place.line).toBe(3);
  });

  it('are given for a single cluster', async () => {
    const path = file('id,doc,m\n1,d,-1.5\n2,d,-2.5\n');
    const error = await refusal(readLogProbs(path, { sequence: 'id', cluster: 'doc' }));
    expect([error.place.column, error.found]).toEqual(['doc', "'d' in every row"]);
  });

  it('hold no control characters in messages', () => {
    const error = new FormatError({ file: 'a\x1b[2J', column: '\x07' }, 'a\x1b', 'b\x1b', 'c\x1b');
    expect(error.message).not.toMatch(/\p{Cc}/u);
  });
});

describe('samples', () => {
  it('of several filters are not counted together', async () => {
    const rows = ['doc_id,filter,acc'];
    for (let i = 0; i < 20; i++) rows.push(`${i},strict,0`, `${i},flexible,1`);
    const path = file(rows.join('\n'));
    const error = await refusal(readSamples(path));
    expect([error.place.line, error.place.column, error.found]).toEqual([3, 'filter', "'flexible' after 'strict'"]);
    expect(error.hint).toContain('--filter');
    const read = await readSamples(path, { filter: 'flexible' });
    expect([read.samples.length, new Set(read.samples), new Set(read.correct)]).toEqual([
      20,
      new Set([1]),
      new Set([1]),
    ]);
    expect(read.reading).toContain("filter 'flexible'");
    expect((await refusal(readSamples(path, { filter: 'x' }))).found).toBe('the filters strict, flexible');
    expect((await refusal(readSamples(file('id,acc\n1,1\n'), { filter: 'x' }))).expected).toBe("a column 'filter'");
  });

  it('appended by a rerun are reported', async () => {
    const run = 'a,1,0.25\na,0,0.5\nb,1,0.75\nb,0,1.5\n';
    const twice = await readSamples(file(`id,correct,reward\n${run}${run}`));
    expect(twice.warnings).toEqual([expect.stringContaining('duplicate-rows: of 2 of 2 problems')]);
    expect((await readSamples(file(`id,correct,reward\n${run}`))).warnings).toEqual([]);
    const whole = 'a,1,1\na,1,1\nb,0,0\nb,0,0\n';
    expect((await readSamples(file(`id,correct,reward\n${whole}`))).warnings).toEqual([]);
  });

  it('must be finite and not none, with the place', async () => {
    const reward = await refusal(readSamples(file('id,reward\na,1\na,-inf\n')));
    expect([reward.place.line, reward.place.column, reward.expected]).toEqual([3, 'reward', 'a finite number']);
    const empty = await refusal(readSamples(file('{"id":1,"correct":[true]}\n{"id":2,"correct":[]}\n')));
    expect([empty.place.line, empty.found]).toEqual([2, 'an empty array']);
  });
});

describe('.npy headers', () => {
  const npy = (header: string) => {
    const bytes = Buffer.from(`\x93NUMPY\x01\0\0\0${header}`, 'latin1');
    bytes.writeUInt16LE(header.length, 8);
    return file(bytes, 'npy');
  };

  it('name no property of Object, and are abridged', async () => {
    const odd = npy("{'descr': '<constructor', 'fortran_order': False, 'shape': (3,), }");
    expect((await refusal(readNpy(odd))).found).toBe("'<constructor'");
    const deep = npy(`{'descr': '<f8', 'fortran_order': False, 'shape': (${'1, '.repeat(4000)}), }`);
    expect((await refusal(readNpy(deep))).message.length).toBeLessThan(400);
  });
});
