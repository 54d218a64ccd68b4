// Text: levels, fields of one call, fields bound once, and an error with its stack.
import * as kymo from 'kymo';

const run = kymo.init({ project: 'examples', name: 'text' });
const log = kymo.getLogger('trainer', { level: 'debug' });
const shard = log.bind({ shard: 7 });

log.debug('reading the data', { files: 3 });
shard.info('ready', { rows: 50_000 });
shard.warn('a row was skipped', { row: 123, reason: 'no label' });

log.setLevel('warn');
log.info('nobody hears this: the level is above it now');

try {
  JSON.parse('{"broken": ');
} catch (error) {
  log.error('could not read the settings', { error });
}

await run.finish();
console.log(`see ${run.dir}/logs/logs.jsonl`);
