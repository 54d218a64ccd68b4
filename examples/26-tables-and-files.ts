// What can be read and kept: a table, a text, a page, a folder as an artifact, and values whose kind is found by their shape.
import { mkdirSync, writeFileSync } from 'node:fs';
import * as kymo from 'kymo';

const run = kymo.init({ project: 'examples', name: 'tables and files' });
run.table('worst examples', [
  { id: 7, label: 'cat', guess: 'dog', loss: 4.2 },
  { id: 9, label: 'dog', guess: 'cat', loss: 3.9 },
]);
run.text('sample', '**the** cat sat on the mat', { format: 'markdown' });
run.html('report', '<h1>done</h1>');
mkdirSync('checkpoint', { recursive: true });
writeFileSync('checkpoint/weights.bin', new Float32Array(1_000));
run.artifact('policy', 'checkpoint', { type: 'model', aliases: ['best'], metadata: { loss: 0.33 } });

// Mixed values: numbers become a row, the rest what its shape says.
run.push({ accuracy: 0.9, attention: [[0.1, 0.9], [0.5, 0.5]] }); // biome-ignore format: a matrix
run.dictionary('net', { layers: 2, gains: [0.5, 0.25], deep: { kernel: [[1, 0], [0, 1]] } }); // biome-ignore format: a matrix
await run.finish();
console.log(`see ${run.dir}/media and ${run.dir}/artifacts`);
