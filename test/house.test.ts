/** The rules of the house that can be read off the tree: one source list, one direction of imports, small files. */

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { cudaOperations } from '../lib/native/cuda.ts';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const read = (file: string) => readFileSync(path.join(root, file), 'utf8');
const files = (folder: string, pattern: RegExp): string[] =>
  readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => path.posix.join(folder, name.replaceAll('\\', '/')))
    .filter((name) => pattern.test(name));

const { variables } = JSON.parse(read('native/sources.json')) as { variables: Record<string, string[]> };
const listed = [
  ...variables.covn_core_sources!,
  ...variables.covn_shared_binding_sources!,
  ...variables.covn_binding_sources!,
  ...variables.covn_cuda_binding_sources!,
];

describe('the two builds', () => {
  test('sources.json lists every source of the addon, and each is there', () => {
    const present = ['core', 'kernels', 'model', 'learn', 'binding'].flatMap((folder) =>
      files(`native/${folder}`, /\.cpp$/),
    );
    expect([...listed].sort()).toEqual(present.sort());
  });

  test('and every source of the CUDA backend and its emulator', () => {
    const named = [...variables.covn_cuda_sources!, ...variables.covn_cuda_emulator_sources!];
    expect(named.sort()).toEqual(
      files('native/cuda', /\.(cu|cpp)$/)
        .filter((file) => !file.includes('/dev/'))
        .sort(),
    );
  });

  test('neither build names a source, a define or a flag of its own', () => {
    const gyp = read('binding.gyp');
    const cmake = read('CMakeLists.txt');
    const cuda = read('native/cuda/CMakeLists.txt') + read('native/cuda/emulator/CMakeLists.txt');
    for (const list of [
      'covn_cuda_sources',
      'covn_cuda_binding_sources',
      'covn_cuda_flags',
      'covn_cuda_architectures',
    ]) {
      expect(cmake).toContain(list);
    }
    expect(cuda).not.toMatch(/native\/\w+\/\w+\.|CUDA_STANDARD|use_fast_math|fmad|-std=|sm_\d/);
    for (const build of [gyp, cmake]) {
      expect(build).not.toMatch(/native\/(core|kernels|model|learn|binding)\/\w/);
      expect(build).not.toMatch(/NAPI_VERSION=|CMAKE_CXX_STANDARD|CXX_STANDARD|ffast-math|ffp-contract|-march/);
      for (const list of [
        'covn_core_sources',
        'covn_shared_binding_sources',
        'covn_binding_sources',
        'covn_includes',
        'covn_defines',
        'covn_cflags_cc',
      ]) {
        expect(build).toContain(list);
      }
    }
    // gyp takes away what Node's own settings bring, so that the list's flags are the ones in force.
    expect(gyp.match(/-std=[\w+]+/g)).toEqual(['-std=gnu++17', '-std=gnu++20']);
    expect(cmake).not.toMatch(/-std=/);
  });

  test('the CUDA flags set the standard, explicit multiply-adds and architectures', () => {
    expect(variables.covn_cuda_flags).toEqual(expect.arrayContaining(['-std=c++20', '-fmad=false']));
    expect(variables.covn_cuda_flags!.join(' ')).toContain('-ffp-contract=off');
    expect(variables.covn_cuda_flags!.join(' ')).not.toMatch(/fast|ftz|prec-|gencode|arch/);
    expect(variables.covn_cuda_architectures).toEqual(['80', '86', '89', '90a', '100']);
  });

  test('every operation of the CUDA addon is known to the TypeScript face, and the other way round', () => {
    const exported = [...read('native/binding/cuda_addon.cpp').matchAll(/exports\["(\w+)"\]/g)].map(
      ([, name]) => name!,
    );
    expect(exported.filter((name) => name !== 'deviceInfo' && name !== 'openDevice').sort()).toEqual(
      [...cudaOperations].sort(),
    );
  });

  test('the list sets the standard, Node-API 9 and exact floating point', () => {
    expect(variables.covn_defines).toContain('NAPI_VERSION=9');
    expect(variables.covn_cflags_cc).toEqual(expect.arrayContaining(['-std=c++20', '-ffp-contract=off']));
    expect(variables.covn_cflags_cc!.join(' ')).not.toMatch(/fast-math|march/);
    const makefile = 'build/covn.target.mk';
    if (existsSync(path.join(root, makefile))) {
      const cflags = /CFLAGS_CC_Release := \\\n((?:\s.*\\?\n)+?)\n/.exec(read(makefile))![1]!;
      expect(cflags.match(/-std=\S+/g)!.at(-1)).toBe('-std=c++20');
      expect(cflags).toContain('-ffp-contract=off');
    }
  });
});

/** Asserts that each file imports only from groups that come before its own, or from its own. */
function expectOneWay(order: string[][], folderOf: (file: string) => string, edges: [string, string][]) {
  const rank = (folder: string) => {
    const found = order.findIndex((group) => group.includes(folder));
    if (found < 0) throw new Error(`${folder} has no place in the order of imports`);
    return found;
  };
  for (const [from, to] of edges) {
    const [a, b] = [folderOf(from), folderOf(to)];
    if (a !== b && rank(b) >= rank(a)) throw new Error(`${from} imports ${to}, against the direction`);
  }
}

describe('imports go one way', () => {
  test('in lib', () => {
    const order = [
      ['errors', 'validate'],
      ['estimate', 'native'],
      ['logprob', 'coverage', 'machine'],
      ['sample', 'model'],
      ['best-of-n', 'tournament', 'learn'],
      ['graph'],
      ['io', 'lab'],
      ['index'],
      ['cli'],
    ];
    const edges = files('lib', /\.ts$/).flatMap((file) =>
      [...read(file).matchAll(/from '(\.[^']+)'/g)].map(([, to]): [string, string] => [
        file,
        path.posix.join(path.posix.dirname(file), to!),
      ]),
    );
    expect(edges.length).toBeGreaterThan(30);
    // validate builds on errors; both are the ground.
    const ground = edges.filter(([from, to]) => !(from === 'lib/validate.ts' && to === 'lib/errors.ts'));
    expectOneWay(order, (file) => file.split('/')[1]!.replace(/\.ts$/, ''), ground);
  });

  test('in native', () => {
    const order = [['include', 'core'], ['kernels'], ['model'], ['learn'], ['cuda'], ['binding']];
    const edges = ['include', 'core', 'kernels', 'model', 'learn', 'cuda', 'binding'].flatMap((folder) =>
      files(`native/${folder}`, /\.([ch]pp|cuh?)$/).flatMap((file) =>
        [...read(file).matchAll(/#include "([^"]+)"/g)].map(([, to]): [string, string] => [
          file,
          to!.startsWith('covn/') ? `native/include/${to}` : `native/${to}`,
        ]),
      ),
    );
    for (const [from, to] of edges) expect(existsSync(path.join(root, to)), `${from} includes ${to}`).toBe(true);
    // The public headers use core's plain types, and core implements what the headers declare.
    const folderOf = (file: string) => file.split('/')[1]!.replace('include', 'core');
    expectOneWay([['core'], ...order.slice(1)], folderOf, edges);
  });
});

describe('the tree', () => {
  const sources = [
    ...files('lib', /\.ts$/),
    ...files('test', /\.(ts|mjs)$/),
    ...files('native', /\.([ch]pp|cuh?)$/),
    ...files('scripts', /\.mjs$/),
  ];

  test('no source file is past 400 lines', () => {
    const long = sources.filter((file) => read(file).split('\n').length > 400);
    expect(long).toEqual([]);
  });

  test('kernel targets share no compiled code with the rest', () => {
    // A function compiled for AVX in a shared (weak) symbol could replace the portable copy at link time.
    const objects = path.join(root, 'build/Release/obj.target/covn/native/kernels/targets');
    for (const target of ['avx2', 'avx512', 'avx512bf16', 'avx512vbmi']) {
      const object = path.join(objects, `${target}.o`);
      if (process.platform !== 'linux' || process.arch !== 'x64' || !existsSync(object)) continue;
      const symbols = execFileSync('nm', ['-C', '--defined-only', object], { encoding: 'utf8' });
      const weak = symbols.split('\n').filter((line) => / [WVuw] /.test(line));
      expect(weak.length).toBeGreaterThan(0);
      expect(weak.filter((line) => !line.includes(`covn::${target}::`))).toEqual([]);
    }
  });
});
