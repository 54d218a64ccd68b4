/** The interop tests: peers are real programs of other worlds, prepared by scripts/interop.js, so one at a time and with patience. */
import root from '../../jest.config.js';

// biome-ignore lint/style/noDefaultExport: what jest reads
export default {
  ...root,
  rootDir: '../..',
  roots: ['<rootDir>/test/interop'],
  testPathIgnorePatterns: ['/node_modules/'],
  maxWorkers: 1,
  testTimeout: 120_000,
};
