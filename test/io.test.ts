import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FormatError, modelNames, readLogProbs, readLogRatios, readSamples, readTable } from '../lib/io/index.ts';
import { refusal, temporaryFiles } from './support/files.ts';

const { folder, file } = temporaryFiles();

describe('tables', () => {
  it('reads CSV, TSV, semicolons, quotes, CRLF, a byte order mark and gzip', async () => {
    const texts = ['a,b\n1,x\n', 'a\tb\r\n1\tx\r\n', '\uFEFFa;b\n1;x', '"a","b"\n"1","x"\n\n', '{"a":"1","b":"x"}\n'];
    for (const text of texts) {
      for (const content of [text, gzipSync(text)]) {
        const table = await readTable(file(content, 'dat'));
        expect([table.columns, table.cells.get('a'), table.cells.get('b'), table.lines]).toEqual([
          ['a', 'b'],
          ['1'],
          ['x'],
          [2 - Number(text.startsWith('{'))],
        ]);
      }
    }
  });

  it('refuses what is not a table, saying what it is', async () => {
    expect((await refusal(readTable(join(folder, 'absent.csv')))).found).toBe('no such file');
    expect((await refusal(readTable(folder))).found).toBe('a directory');
    expect((await refusal(readTable(file('')))).found).toBe('an empty file');
    expect((await refusal(readTable(file(' \n\n')))).found).toContain('white space');
    expect((await refusal(readTable(file(gzipSync(''))))).found).toContain('white space');
    expect((await refusal(readTable(file('PAR1....')))).found).toBe('a Parquet file');
    expect((await refusal(readTable(file(Buffer.from('\uFEFFa,b\n', 'utf16le'))))).found).toBe('UTF-16 text');
    expect((await refusal(readTable(file('a,a\n1,2\n')))).found).toBe("'a' twice");
    expect((await refusal(readTable(file('[{"a":1}]')))).hint).toContain('jq');
  });

  it('refuses truncated gzip, in CSV and in JSONL', async () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => Math.sin(i));
    for (const text of [`a\n${rows.join('\n')}`, rows.map((a) => JSON.stringify({ a })).join('\n')]) {
      const path = file(gzipSync(text).subarray(0, 90_000));
      expect(await refusal(readTable(path))).toMatchObject({
        place: { file: path },
        expected: 'a complete gzip stream',
      });
    }
  });

  it('names the line of a broken row', async () => {
    const ragged = await refusal(readTable(file('a,b\n1,2\n3\n')));
    expect([ragged.place.line, ragged.found]).toEqual([3, '1']);
    const quoted = await readTable(file('a,b\n\n1,"x\ny"\n\n2,z\n'));
    expect(quoted.lines).toEqual([3, 6]);
    expect((await refusal(readTable(file('a,b\n1,"2\n3,4\n')))).hint).toContain('without quotes');
    expect((await refusal(readTable(file('r\n1\n\n2\n')))).place.line).toBe(3);
    expect((await readTable(file('r\n1\n2\n\n'))).lines).toEqual([2, 3]);
    const json = await refusal(readTable(file('{"a":1}\n\n{"a":NaN}\n')));
    expect([json.place.line, json.found]).toEqual([3, 'NaN']);
    expect((await refusal(readTable(file('{"a":1}\n[1]\n')))).place.line).toBe(2);
  });
});

describe('hostile files', () => {
  it('are read or refused, nothing else', async () => {
    const mark = fc.constantFrom(
      'a',
      'b',
      '1',
      '-2.5',
      ',',
      '\t',
      ';',
      '"',
      '\n',
      '\r\n',
      '{',
      '}',
      '[',
      ':',
      '\0',
      '\uFEFF',
    );
    const text = fc.array(mark, { maxLength: 60 }).map((parts) => Buffer.from(parts.join('')));
    const bytes = fc.uint8Array({ maxLength: 60 }).map((array) => Buffer.from(array));
    const zipped = fc.tuple(text, fc.nat(80)).map(([raw, end]) => gzipSync(raw).subarray(0, end));
    await fc.assert(
      fc.asyncProperty(fc.oneof(text, bytes, zipped), async (content) => {
        const path = file(content, 'hostile');
        for (const read of [readTable, readSamples, readLogProbs]) {
          await read(path).catch((error: Error) => expect(error, error.stack).toBeInstanceOf(FormatError));
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('readLogProbs', () => {
  const wide = 'id,small,large\nx,-1.5,-1\nx,-0.5,-0.25\ny,-2.5,-3.5\n';
  const expected = { models: ['small', 'large'], ids: ['x', 'y'], logProbs: Float64Array.of(-2, -2.5, -1.25, -3.5) };

  it('reads wide, long, one file per model, in any order, to the same', async () => {
    const long =
      'id,model,logprob\nx,small,-1.5\ny,large,-3.5\nx,large,-1\nx,small,-0.5\nx,large,-0.25\ny,small,-2.5\n';
    const small = file('id,lp\nx,-1.5\nx,-0.5\ny,-2.5\n', 'run.small.csv');
    const large = file('{"id":"y","lp":-3.5}\n{"id":"x","lp":-1}\n{"id":"x","lp":"-0.25"}\n', 'run.large.csv');
    const options = { sequence: 'id' };
    expect(await readLogProbs(file(wide), options)).toMatchObject(expected);
    expect(await readLogProbs(file(long), { ...options, model: 'model', value: 'logprob' })).toMatchObject(expected);
    expect(await readLogProbs([small, large], options)).toMatchObject(expected);
    expect((await readLogProbs(file(wide), options)).reading.text).toBe(
      '2 columns as logprob in nats (kind from the sign, unit assumed)',
    );
  });

  it('joins key columns, keeps clusters, leaves out whole-number columns', async () => {
    const text = 'doc,sent,pos,len,nats_m1,nats_m2\na,1,1,3,0.5,1.5\na,1,2,4,1,1\na,2,1,2,0.25,2\nb,1,1,2,0.125,3\n';
    const read = await readLogProbs(file(text), {
      sequence: ['doc', 'sent'],
      cluster: 'doc',
      position: 'pos',
      kind: 'surprisal',
    });
    expect(read).toMatchObject({
      models: ['nats_m1', 'nats_m2'],
      ids: ['a/1', 'a/2', 'b/1'],
      clusters: ['a', 'a', 'b'],
      logProbs: Float64Array.of(-1.5, -0.25, -0.125, -2.5, -2, -3),
      tokens: Int32Array.of(2, 1, 1),
      warnings: ['columns: whole numbers only, left out: len'],
      reading: { unit: 'nats', text: '2 columns as surprisal in nats (kind as stated, unit from the name)' },
    });
  });

  it('converts kinds and units', async () => {
    const read = (name: string, cell: string, more = {}) =>
      readLogProbs(file(`id,${name}\nx,${cell}\ny,0.5\n`), { value: name, sequence: 'id', ...more });
    expect((await read('prob', '0.25')).logProbs[0]).toBeCloseTo(Math.log(0.25), 15);
    expect((await read('surprisal_bits', '2')).logProbs[0]).toBeCloseTo(Math.log(0.25), 15);
    expect((await read('nll', '2')).logProbs[0]).toBe(-2);
    expect((await read('x', '2', { kind: 'surprisal', unit: 'base10' })).logProbs[0]).toBeCloseTo(Math.log(0.01), 14);
    const none = await read('prob', '0');
    expect(none.logProbs[0]).toBe(-Infinity);
    const infinite = await readLogProbs(file('id,logprob\nx,-inf\ny,-1\n'), { sequence: 'id' });
    expect([infinite.logProbs[0], infinite.warnings[0]]).toEqual([-Infinity, expect.stringContaining('zero-probab')]);
  });

  it('refuses kinds that stay ambiguous and values that cannot be, with the place', async () => {
    const read = (text: string, more = {}) => refusal(readLogProbs(file(text), { sequence: 'id', ...more }));
    expect((await read('id,m\nx,0.5\ny,0.25\n')).found).toContain('probabilities or surprisals');
    expect((await read('id,m\nx,0.5\ny,4.25\n')).found).toContain('surprisals or raw logits');
    expect((await read('id,m\nx,-0.5\ny,4.25\n')).hint).toContain('Raw logits?');
    const logits = await read('id,logprob\nx,-0.5\ny,4.25\n');
    expect(logits).toMatchObject({ place: { line: 3, column: 'logprob' }, found: '4.25' });
    expect(logits.message).toContain("line 3, column 'logprob'");
    expect((await read('id,prob\nx,0.5\ny,1.25\n')).place.line).toBe(3);
    expect((await read('id,surprisal\nx,0.5\ny,-0.25\n')).expected).toBe('a surprisal >= 0');
    expect((await read('id,logprob\nx,-0.5\ny,-9999.0\n')).hint).toContain('-9999');
  });

  it('never reads a missing or odd cell as 0', async () => {
    for (const cell of ['', ' ', 'NA', 'nan', 'None', '0x10', '1e999', '1_0', '"1,5"', 'abc', '--1']) {
      const error = await refusal(readLogProbs(file(`id,logprob\nx,-1\ny,${cell}\n`), { sequence: 'id' }));
      expect([error.place.line, error.place.column, error.expected]).toEqual([3, 'logprob', 'a number']);
    }
    for (const cell of ['null', '[]', 'true', '""']) {
      const path = file(`{"id":"x","logprob":-1}\n{"id":"y","logprob":${cell}}\n{"id":"z"}\n`);
      expect((await refusal(readLogProbs(path, { sequence: 'id' }))).place.line).toBe(2);
    }
    expect((await refusal(readLogProbs(file('id,logprob\n,-1\n'), { sequence: 'id' }))).expected).toBe('a text');
  });

  it('refuses models whose responses differ, naming the first', async () => {
    const one = file('id,logprob\nx,-1\nx,-1\ny,-2\n', 'one.csv');
    const read = async (text: string) => refusal(readLogProbs([one, file(text, 'two.csv')], { sequence: 'id' }));
    for (const [text, found] of [
      ['id,logprob\nx,-1\nx,-1\n', "sequence 'y'"],
      ['id,logprob\nx,-1\nx,-1\ny,-2\nz,-2\n', "sequence 'z'"],
      ['id,logprob\nx,-1\ny,-2\n', "2 rows of sequence 'x'"],
    ] as const) {
      const error = await read(text);
      expect(error.code).toBe('ERR_COVN_ALIGNMENT');
      expect(error.message).toContain(found);
      expect(error.message).toContain('two.csv');
    }
    const text = 'id,c,m,logprob\nx,p,a,-1\nx,q,b,-1\n';
    const error = await refusal(
      readLogProbs(file(text), { sequence: 'id', model: 'm', value: 'logprob', cluster: 'c' }),
    );
    expect(error.code).toBe('ERR_COVN_ALIGNMENT');
  });

  it('suggests a column of a near name', async () => {
    const error = await refusal(readLogProbs(file('docid,Surprisal\na,1\n'), { sequence: 'docid', value: 'suprisal' }));
    expect(error.message).toContain("Did you mean 'Surprisal'?");
    expect(
      (await refusal(readLogProbs(file('a,b,c\n1,2,3\n'), { sequence: 'a', model: 'b', value: 'zzz' }))).hint,
    ).toBe(undefined);
    expect((await refusal(readLogProbs(file('id,logprob\n'), { sequence: 'id' }))).expected).toContain('one row');
  });

  it('leaves out the rows of a rerun, refuses those that disagree, flags what looks like one', async () => {
    const rows = 'id,pos,logprob\nx,0,-1.5\nx,1,-2.5\nx,0,-1.5\n';
    const options = { sequence: 'id', position: 'pos' };
    const read = await readLogProbs(file(rows, 'again.csv'), options);
    expect([read.logProbs[0], read.warnings]).toEqual([
      -4,
      [expect.stringMatching(/duplicate-rows.*1 repeated.*line 4/)],
    ]);
    expect((await refusal(readLogProbs(file(`${rows}x,1,-9.5\n`), options))).place.line).toBe(5);
    const single = Array.from({ length: 20 }, (_, i) => `s${i},-${i}.5`).join('\n');
    const flagged = await readLogProbs(file(`id,logprob\n${single}\ns3,-3.5\n`), { sequence: 'id' });
    expect(flagged.warnings).toEqual([expect.stringMatching(/duplicate-rows.*1 of 20/)]);
  });

  it('flags first tokens stored as 0 and coarse values', async () => {
    const zero = await readLogProbs(file('id,logprob\nx,0.0\nx,-1.5\ny,0\ny,-2.5\n'), { sequence: 'id' });
    expect(zero.warnings).toEqual([expect.stringContaining('first-token-zero')]);
    const coarse = Array.from({ length: 40 }, (_, i) => `${i},-${(i % 4) + 0.5}`).join('\n');
    const ties = await readLogProbs(file(`id,logprob\n${coarse}\n`), { sequence: 'id' });
    expect(ties.warnings).toEqual([expect.stringContaining('ties: logprob: 90 %')]);
  });

  it('stops when its signal is aborted', async () => {
    const controller = new AbortController();
    controller.abort(new Error('enough'));
    await expect(readLogProbs(file(wide), { sequence: 'id', signal: controller.signal })).rejects.toThrow('enough');
  });

  it('reads the example data: 14 models, the totals of the unmerged files', async () => {
    const path = fileURLToPath(new URL('../examples/data/word-surprisals.tsv.gz', import.meta.url));
    const options = {
      sequence: ['docid', 'sentid'],
      cluster: 'docid',
      position: 'sentpos',
      kind: 'surprisal',
    } as const;
    const { models, ids, clusters, tokens, logProbs, warnings } = await readLogProbs(path, options);
    const n = ids.length;
    expect([models.length, n, new Set(clusters).size, tokens.reduce((a, b) => a + b)]).toEqual([14, 476, 10, 10_246]);
    const total = (model: string) =>
      logProbs
        .subarray(models.indexOf(model) * n)
        .slice(0, n)
        .reduce((a, b) => a + b);
    expect(total('mamba-2.8b-hf')).toBeCloseTo(-29711.861, 2);
    expect(total('pythia-160m')).toBeCloseTo(-39160.5905, 2);
    expect(total('rwkv-4-3b-pile')).toBeCloseTo(-30833.8997, 2);
    expect(warnings).toEqual(['columns: whole numbers only, left out: NumTokens']);
  });

  it('takes names for one file per model only', async () => {
    const [one, two] = [file('id,lp\nx,-1\n'), file('id,lp\nx,-2\n')];
    expect((await readLogProbs([one, two], { sequence: 'id', names: ['a', 'b'] })).models).toEqual(['a', 'b']);
    await expect(readLogProbs([one, two], { names: ['a'] })).rejects.toThrow('Expected 2 names');
    expect((await refusal(readLogProbs([one, two], { names: ['a', 'a'], sequence: 'id' }))).found).toBe("'a' twice");
    expect((await refusal(readLogProbs(file('id,len\nx,3\n'), { sequence: 'id' }))).found).toBe('whole numbers only');
  });

  it('names models by what distinguishes their files', () => {
    expect(modelNames(['/a/x.surprisal.m-1.out', '/b/x.surprisal.m-2.out'])).toEqual(['m-1', 'm-2']);
    expect(modelNames(['a.csv', 'b.csv'])).toEqual(['a', 'b']);
    expect(modelNames(['a/x.csv', 'b/x.csv'])).toEqual(['a/x.csv', 'b/x.csv']);
  });
});

describe('readLogRatios', () => {
  it('sums tokens and converts units', async () => {
    const path = file('id,p,ratio\nx,a,0.5\nx,a,1\ny,b,inf\n');
    const read = await readLogRatios(path, 'ratio', { sequence: 'id', cluster: 'p', unit: 'bits' });
    expect(read).toEqual({
      logRatios: Float64Array.of(1.5 * Math.LN2, Infinity),
      clusters: ['a', 'b'],
      warnings: [],
      unit: 'bits',
    });
    expect((await refusal(readLogRatios(path, undefined))).found).toContain('several');
    expect((await refusal(readLogRatios(file('r\n1\nNA\n'), 'r'))).place.line).toBe(3);
  });
});

describe('readSamples', () => {
  it('reads rows, counts and arrays', async () => {
    const rows = await readSamples(file('problem,correct,reward\na,1,0.5\nb,False,1\na,true,2\n'));
    expect(rows).toMatchObject({ problems: ['a', 'b'], samples: [2, 1], correct: [2, 0], offsets: [0, 2, 3] });
    expect([rows.scores, rows.rewards]).toEqual([Float64Array.of(1, 1, 0), Float64Array.of(0.5, 2, 1)]);
    expect(rows.warnings).toEqual([expect.stringContaining('1 to 2 samples')]);
    const counts = await readSamples(file('problem,n,c\na,10,3\nb,20,0\n'));
    expect(counts).toMatchObject({ samples: [10, 20], correct: [3, 0], warnings: [] });
    const arrays = await readSamples(fileURLToPath(new URL('./fixtures/math-best-of-8.jsonl', import.meta.url)));
    expect([arrays.problems.length, arrays.scores?.length, arrays.rewards?.[0]]).toEqual([100, 800, 3.546875]);
    const passed = await readSamples(file('{"task_id":"t/0","passed":true}\n{"task_id":"t/0","passed":false}\n'));
    expect(passed).toMatchObject({ samples: [2], correct: [1] });
  });

  it('refuses bad samples with the place', async () => {
    const read = async (text: string, options = {}) => refusal(readSamples(file(text), options));
    expect(await read('problem,correct\na,0.5\n')).toMatchObject({ place: { line: 2, column: 'correct' } });
    expect((await read('problem,correct\na,\n')).found).toContain('missing');
    expect((await read('problem,n,c\na,4,5\n')).expected).toBe('a whole number in [0, 4]');
    expect((await read('problem,n,c\na,4,1\na,4,1\n')).found).toBe("'a' again");
    expect((await read('problem,n,c\na,2.5,1\n')).place).toMatchObject({ line: 2, column: 'n' });
    expect((await read('problem,text\na,x\n')).expected).toContain('right or wrong');
    expect((await read('problem,correct\n')).expected).toContain('one row');
    expect((await read('{"idx":1,"score":[true,false],"pred_score":[1]}')).expected).toContain('2 rewards');
    const rerun = 'problem,trial,correct\na,0,1\na,1,0\na,0,1\n';
    expect((await readSamples(file(rerun), { sample: 'trial' })).samples).toEqual([2]);
    expect((await read(`${rerun}a,1,1\n`, { sample: 'trial' })).place.line).toBe(5);
  });
});
