/** The limits that are promised, at their full size, and what takes seconds of waiting: `npm run test:limits`, one file at a time. */
import root from '../../jest.config.js';

// biome-ignore lint/style/noDefaultExport: what jest reads
export default {
  ...root,
  rootDir: '../..',
  roots: ['<rootDir>/test/limits'],
  testPathIgnorePatterns: ['/node_modules/'],
  maxWorkers: 1,
  testTimeout: 180_000,
};
