// Builds the CUDA backend's addon with cmake-js and nvcc: build-cuda/Release/covn_cuda.node. With --emulated, from the same
// sources and without CUDA, the addon that runs its kernels on this processor, for tests: covn_cuda_emulated.node. Objects
// are kept in build-cmake/, which build-cmake.mjs shares. Further arguments go to cmake-js.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);
const arguments_ = process.argv.slice(2);
const emulated = arguments_.includes('--emulated');

function refuse(message) {
  console.error(`covn: ${message}`);
  process.exit(1);
}

const runs = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;

/** The CUDA compiler: CUDACXX, that of CUDA_PATH or CUDA_HOME, the one in PATH, or where NVIDIA's installer puts it. */
function findNvcc() {
  const folders = [process.env.CUDA_PATH, process.env.CUDA_HOME].filter(Boolean);
  const inFolders = folders.map((folder) => path.join(folder, 'bin', 'nvcc'));
  return [process.env.CUDACXX, ...inFolders, 'nvcc', '/usr/local/cuda/bin/nvcc'].filter(Boolean).find(runs);
}

function findCmakeJs() {
  try {
    return path.join(path.dirname(require.resolve('cmake-js/package.json')), 'bin', 'cmake-js');
  } catch {
    return refuse('Expected cmake-js but found nothing. Install it: npm install cmake-js');
  }
}

if (!runs('cmake')) refuse('Expected cmake (3.20 or newer) in PATH but found nothing');
const settings = [];
if (!emulated) {
  const nvcc = findNvcc();
  if (!nvcc) {
    refuse(
      'Expected the CUDA compiler (nvcc of CUDA 12 or 13) in PATH, CUDA_PATH or /usr/local/cuda but found nothing. ' +
        'Install the CUDA toolkit; a GPU is not needed to build.',
    );
  }
  const absolute = nvcc === 'nvcc' ? [] : [`--CDCMAKE_CUDA_COMPILER=${nvcc}`];
  settings.push('--CDCOVN_CUDA=ON', ...absolute);
}
const cmakeJs = findCmakeJs();
const rest = arguments_.filter((argument) => argument !== '--emulated');

function run(command, ...more) {
  const args = [cmakeJs, command, '--out', 'build-cmake', ...settings, ...more, ...rest];
  const { status, error } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

// `build` alone would keep the settings of an earlier configuration.
run('configure');
const target = emulated ? 'covn_cuda_emulated_addon' : 'covn_cuda';
run('build', '--target', target, '--parallel', '2');
const name = emulated ? 'covn_cuda_emulated.node' : 'covn_cuda.node';
const built = path.join(root, 'build-cuda', 'Release', name);
if (!existsSync(built)) refuse(`Expected the build to give ${built} but it gave nothing`);
console.log(built);
