import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { FormatError, readLogProbs, readNpy } from '../lib/io/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'covn-npy-'));
afterAll(() => rmSync(folder, { recursive: true }));

let written = 0;
function file(bytes: Buffer): string {
  const path = join(folder, `${written++}.npy`);
  writeFileSync(path, bytes);
  return path;
}

/** An .npy file as numpy.lib.format lays it out. */
function npy(header: string, data: ArrayBufferView, version = 1): Buffer {
  const start = version === 1 ? 10 : 12;
  const padded = `${header.padEnd(Math.ceil((header.length + start + 1) / 64) * 64 - start - 1)}\n`;
  const prefix = Buffer.alloc(start);
  prefix.write('\x93NUMPY', 'latin1');
  prefix[6] = version;
  if (version === 1) prefix.writeUInt16LE(padded.length, 8);
  else prefix.writeUInt32LE(padded.length, 8);
  return Buffer.concat([prefix, Buffer.from(padded), Buffer.from(data.buffer, data.byteOffset, data.byteLength)]);
}

const header = (descr: string, shape: string, fortran = false) =>
  `{'descr': '${descr}', 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': ${shape}, }`;

const six = [-1, -2.5, -3, -4, -5, -6];

describe('readNpy', () => {
  it('reads every type and version', async () => {
    for (const version of [1, 2, 3]) {
      const read = await readNpy(file(npy(header('<f8', '(2, 3)'), Float64Array.from(six), version)));
      expect(read).toEqual({ shape: [2, 3], descr: '<f8', data: Float64Array.from(six) });
    }
    const types: [string, ArrayBufferView, number[]][] = [
      ['<f4', Float32Array.of(0.5, -1e-3), [0.5, Math.fround(-1e-3)]],
      ['<i4', Int32Array.of(-7, 2 ** 31 - 1), [-7, 2 ** 31 - 1]],
      ['<i8', BigInt64Array.of(-7n, 2n ** 53n), [-7, 2 ** 53]],
      ['<f2', Uint16Array.of(0x3c00, 0xc500), [1, -5]],
      ['<f2', Uint16Array.of(0x0001, 0x7bff), [2 ** -24, 65504]],
      ['<f2', Uint16Array.of(0xfc00, 0x8000), [-Infinity, -0]],
    ];
    for (const [descr, data, values] of types) {
      expect(Array.from((await readNpy(file(npy(header(descr, '(2,)'), data)))).data)).toEqual(values);
    }
  });

  it('turns Fortran order into row-major order', async () => {
    const data = Float64Array.from({ length: 24 }, (_, i) => i);
    const read = await readNpy(file(npy(header('<f8', '(2, 3, 4)', true), data)));
    for (let i = 0; i < 2; i++) {
      for (let j = 0; j < 3; j++) {
        for (let k = 0; k < 4; k++) expect(read.data[(i * 3 + j) * 4 + k]).toBe(i + 2 * j + 6 * k);
      }
    }
  });

  it('reads empty and scalar arrays', async () => {
    expect((await readNpy(file(npy(header('<f8', '(0, 3)'), new Float64Array(0))))).shape).toEqual([0, 3]);
    expect((await readNpy(file(npy(header('<f8', '()'), Float64Array.of(4))))).data[0]).toBe(4);
  });

  it('refuses files that are cut short or too long, with the byte counts', async () => {
    const whole = npy(header('<f8', '(2, 3)'), Float64Array.from(six));
    for (let cut = 0; cut < whole.length; cut++) {
      await expect(readNpy(file(whole.subarray(0, cut)))).rejects.toBeInstanceOf(FormatError);
    }
    await expect(readNpy(file(whole.subarray(0, -1)))).rejects.toThrow(/48 bytes .*47 bytes: the file is cut short/);
    await expect(readNpy(file(Buffer.concat([whole, Buffer.alloc(9)])))).rejects.toThrow(/57 bytes: .* too long/);
  });

  it('believes nothing in the header', async () => {
    const data = Float64Array.from(six);
    const bad: [string, RegExp][] = [
      [header('<f8', '(999999999999999, 99999999999999)'), /cut short/],
      [header('<f8', '(-6,)'), /header/],
      [header('<f8', '(6.0,)'), /header/],
      [header('>f8', '(6,)'), /Big-endian/],
      [header('|O', '(6,)'), /never run/],
      [header('<V2', '(24,)'), /bfloat16/],
      [header('<c16', '(3,)'), /'<c16'/],
      ["{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (6,), }", /structured|header/],
      ["{'descr': '<f8', 'shape': (6,), }", /header/],
      ["{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (6,)}", /header/],
      ["{'descr': '<f8', 'fortran_order': False, 'shape': (6,), 'x': 1}", /header/],
      ["__import__('os')", /header/],
      ['', /header/],
    ];
    for (const [text, message] of bad) await expect(readNpy(file(npy(text, data)))).rejects.toThrow(message);
    const long = npy(header('<f8', '(6,)'), data, 2);
    long.writeUInt32LE(0xffffffff, 8);
    await expect(readNpy(file(long))).rejects.toThrow(/4294967295 bytes/);
    const version = npy(header('<f8', '(6,)'), data);
    version[6] = 4;
    await expect(readNpy(file(version))).rejects.toThrow(/version 1, 2 or 3/);
  });
});

describe('readLogProbs of arrays', () => {
  it('takes [M, n], or [n] per file', async () => {
    const both = file(npy(header('<f8', '(2, 3)'), Float64Array.from(six)));
    expect(await readLogProbs(both, { names: ['a', 'b'] })).toMatchObject({
      models: ['a', 'b'],
      ids: ['0', '1', '2'],
      logProbs: Float64Array.from(six),
    });
    const one = file(npy(header('<f4', '(3,)'), Float32Array.of(-1, -2, -3)));
    expect((await readLogProbs([one, one], { names: ['a', 'b'] })).logProbs).toHaveLength(6);
  });

  it('refuses other shapes, NaN and other lengths', async () => {
    const cube = file(npy(header('<f8', '(1, 2, 3)'), Float64Array.from(six)));
    await expect(readLogProbs(cube)).rejects.toThrow('shape [n], or [models, n]');
    const nan = file(npy(header('<f8', '(2,)'), Float64Array.of(-1, Number.NaN)));
    await expect(readLogProbs(nan)).rejects.toThrow(/'\[1\]' but received NaN/);
    const two = file(npy(header('<f8', '(2,)'), Float64Array.of(-1, -2)));
    const three = file(npy(header('<f8', '(3,)'), Float64Array.of(-1, -2, -3)));
    await expect(readLogProbs([two, three])).rejects.toMatchObject({ code: 'ERR_COVN_ALIGNMENT' });
  });
});
