// numpy and PyTorch in a child process (peers.py), which makes its own data of the same kind and size and is idle while
// anything else is timed.
import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('../peers.py', import.meta.url));
const probe = [
  'import importlib',
  'for name in ("numpy", "torch", "scipy"):',
  '    try: print(name, importlib.import_module(name).__version__)',
  '    except Exception: pass',
].join('\n');

/** The packages that an interpreter imports: ["numpy 2.1.0", ...]; none where it does not run. */
function packagesOf(interpreter) {
  const { status, stdout } = spawnSync(interpreter, ['-c', probe], { encoding: 'utf8' });
  return status === 0 ? stdout.trim().split(/\r?\n/).filter(Boolean) : [];
}

// SciPy only adds to a peer.
const worth = (packages) => packages.reduce((sum, text) => sum + (text.startsWith('scipy') ? 1 : 2), 0);

/** The interpreter with the most of them. COVN_PYTHON overrides the search. */
function findInterpreter() {
  const { COVN_PYTHON } = process.env;
  const candidates = COVN_PYTHON ? [COVN_PYTHON] : ['python3', '/usr/bin/python3'];
  const found = candidates.map((interpreter) => ({ interpreter, packages: packagesOf(interpreter) }));
  return found.reduce((best, each) => (worth(each.packages) > worth(best.packages) ? each : best));
}

export function openPython(threads) {
  const { interpreter, packages } = findInterpreter();
  const kinds = ['logprob', 'hidden', 'sample', 'model', 'tournament', 'best-of-n'];
  const peersOf = {
    logprob: ['numpy', 'torch'],
    hidden: ['torch'],
    sample: ['numpy', 'torch'],
    model: ['numpy'],
    tournament: ['numpy', 'torch'],
    'best-of-n': ['numpy'],
  };
  const names = packages.map((text) => text.split(' ')[0]);
  let child;
  let replies;

  const ask = async (request) => {
    if (!child) {
      const env = {
        ...process.env,
        OMP_NUM_THREADS: `${threads}`,
        MKL_NUM_THREADS: `${threads}`,
        OPENBLAS_NUM_THREADS: `${threads}`,
      };
      child = spawn(interpreter, [script], { stdio: ['pipe', 'pipe', 'inherit'], env });
      child.stdin.on('error', () => {}); // a child that has ended is seen by its output's end
      replies = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    }
    // It makes its own data: sizes and names cross, arrays do not.
    const plain = (_, value) => (ArrayBuffer.isView(value) ? undefined : value);
    child.stdin.write(`${JSON.stringify({ ...request, threads }, plain)}\n`);
    const { value, done } = await replies.next();
    if (done) throw new Error('the Python process ended');
    return JSON.parse(value);
  };

  const entriesFor = (kind) => (request, effort) =>
    peersOf[kind].map((by) =>
      names.includes(by)
        ? { by, measure: () => ask({ kind, by, ...request, ...effort }) }
        : { by, missing: 'not installed' },
    );
  return {
    versions: packages,
    ...Object.fromEntries(kinds.map((kind) => [kind, entriesFor(kind)])),
    close: () =>
      new Promise((resolve) => {
        if (!child || child.exitCode !== null) return resolve();
        child.once('close', resolve);
        child.stdin.end();
      }),
  };
}
