// `node --require kymo/register train.js` (or --import): a run begins before the script does, and ends with the process.
import { init } from './research/init.ts';

// Kymo's own processes and threads carry the mark; a run inside them would record the recorder.
if (process.env.KYMO_INTERNAL !== '1') init();
