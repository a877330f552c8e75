import { describe, expect, it } from 'vitest';
import { devices, machineLimits } from '../lib/index.ts';

const small = { bytes: 2 ** 22, repeats: 1 };

describe('machineLimits', () => {
  it('gives positive rates for every device and says what it measured', async () => {
    for (const { name, available } of devices()) {
      if (!available) continue;
      const limits = await machineLimits({ ...small, threads: 1, device: name });
      // Any processor since 2000 exceeds these; none reaches those.
      expect(limits.read).toBeGreaterThan(0.01);
      expect(limits.read).toBeLessThan(1e5);
      expect(limits.fma).toBeGreaterThan(0.01);
      expect(limits.fma).toBeLessThan(1e6);
      expect(limits).toMatchObject({ threads: 1, device: name, bytes: 2 ** 22 });
    }
  });

  it('reads the memory it is given and leaves it alone', async () => {
    const memory = new SharedArrayBuffer(1003);
    new Uint8Array(memory).fill(7);
    expect((await machineLimits({ memory, repeats: 1 })).bytes).toBe(1000);
    expect(new Uint8Array(memory).every((byte) => byte === 7)).toBe(true);
  });

  it('uses no more threads than there are', async () => {
    const { threads } = await machineLimits({ ...small, threads: 4096 });
    expect(threads).toBe((await machineLimits(small)).threads);
  });

  it('refuses arguments that make no sense', async () => {
    const refused: [object, string][] = [
      [{ bytes: 0 }, 'ERR_COVN_RANGE'],
      [{ bytes: 2 ** 40 }, 'ERR_COVN_RANGE'],
      [{ repeats: 0 }, 'ERR_COVN_RANGE'],
      [{ threads: 0 }, 'ERR_COVN_RANGE'],
      [{ memory: new ArrayBuffer(8) }, 'ERR_COVN_DTYPE'],
      [{ memory: new SharedArrayBuffer(2) }, 'ERR_COVN_RANGE'],
      [{ device: 'cuda' }, 'ERR_COVN_DEVICE'],
      [{ size: 1 }, 'ERR_COVN_DTYPE'],
    ];
    for (const [options, code] of refused) {
      await expect(machineLimits(options as never), JSON.stringify(options)).rejects.toMatchObject({ code });
    }
    const reason = new Error('enough');
    await expect(machineLimits({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});
