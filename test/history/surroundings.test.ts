// A history and what is around it: what importing loads, backends that lack something, histories that nobody disposed.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import { createHistory, HistorySpec, updateHistory } from '../../src/history/index.ts';

const ENTRY = new URL('../../src/history/index.ts', import.meta.url).href;
const CPU = fileURLToPath(import.meta.resolve('@tensorflow/tfjs-backend-cpu'));

function run(code: string, ...flags: string[]): string {
  return execFileSync(
    process.execPath,
    [...flags, '--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', code],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
    },
  );
}

describe('the entry point kymo/history', () => {
  it('loads no backend, no TensorFlow.js, and nothing but Kymo', () => {
    const loaded = run(`
      import { registerHooks } from 'node:module';
      const urls = [];
      registerHooks({ load: (url, context, next) => { urls.push(url); return next(url, context); } });
      await import(${JSON.stringify(ENTRY)});
      console.log(JSON.stringify(urls.filter(url => !url.startsWith('node:'))));
    `);
    const urls = JSON.parse(loaded) as string[];
    expect(urls).toContain(ENTRY);
    expect(urls.filter(url => url.includes('/node_modules/') && !url.includes('@opentelemetry/api'))).toEqual(
      [],
    );
  });
});

describe('a backend that lacks an operation', () => {
  it('is refused by name before anything is made', async () => {
    tf.enableProdMode();
    tf.registerBackend('bare', () => ({ floatPrecision: () => 32, epsilon: () => 1e-7 }) as never);
    await tf.setBackend('bare');
    const spec = HistorySpec.fromConfig({ x: { length: 1, shape: [] } });
    expect(() => createHistory(tf, spec, 1)).toThrow(/the backend bare cannot .*Concat.*GatherV2/);
    tf.registerKernel({ kernelName: 'Concat', backendName: 'bare', kernelFunc: () => [] });
    expect(() => createHistory(tf, spec, 1)).toThrow(/cannot (?!.*Concat).*GatherV2/);
  });

  it('is refused when it is none at all', () => {
    const program = `
      import * as tf from '@tensorflow/tfjs-core';
      import { createHistory, HistorySpec } from ${JSON.stringify(ENTRY)};
      try {
        createHistory(tf, HistorySpec.fromConfig({ x: { length: 1, shape: [] } }), 1);
      } catch (error) {
        console.log(error.name, error.message);
      }
    `;
    expect(run(program)).toMatch(/^TypeError kymo: createHistory\(tf\): no backend is ready; import one/);
    const spec = HistorySpec.fromConfig({ x: { length: 1, shape: [] } });
    expect(() => createHistory({ ...tf, concat: undefined } as never, spec, 1)).toThrow(/it lacks concat/);
  });
});

describe('a history whose backend was left', () => {
  it('says so instead of carrying its frames over', async () => {
    await tf.setBackend('cpu');
    const spec = HistorySpec.fromConfig({ x: { length: 1, shape: [] } });
    const h = updateHistory(createHistory(tf, spec, 1), { x: new Float32Array(1) });
    await tf.setBackend('wasm');
    const message = /lives on cpu, but tf is on wasm now/;
    expect(() => updateHistory(h, { x: new Float32Array(1) })).toThrow(message);
    expect(() => h.fields.x).toThrow(message);
    await tf.setBackend('cpu');
    expect(h.fields.x.shape).toEqual([1, 1]);
    await tf.setBackend('wasm');
    h.dispose();
    expect(tf.memory().numTensors).toBe(0);
  });
});

describe('a history that is lost', () => {
  it('gives its frames back when it is collected, and is told once', () => {
    const program = `
      import * as tf from '@tensorflow/tfjs-core';
      import { createHistory, HistorySpec, updateHistory } from ${JSON.stringify(ENTRY)};
      import ${JSON.stringify(CPU)};
      const warnings = [];
      process.on('warning', warning => warnings.push(warning.code));
      const spec = HistorySpec.fromConfig({ x: { length: 4, shape: [2] } });
      const lose = () => {
        let h = createHistory(tf, spec, 2);
        for (let step = 0; step < 6; step++) h = updateHistory(h, { x: new Float32Array(4) });
      };
      for (let i = 0; i < 3; i++) lose();
      const kept = updateHistory(createHistory(tf, spec, 2), { x: new Float32Array(4) });
      const held = tf.memory().numTensors;
      for (let i = 0; i < 100 && tf.memory().numTensors > 1; i++) {
        globalThis.gc();
        await new Promise(resolve => setTimeout(resolve, 10));
      }
      console.log(JSON.stringify({ held, left: tf.memory().numTensors, live: kept.isLive, warnings }));
    `;
    const result = JSON.parse(run(program, '--expose-gc').trim().split('\n').at(-1)!) as unknown;
    expect(result).toEqual({ held: 13, left: 1, live: true, warnings: ['HISTORY_LOST'] });
  });
});
