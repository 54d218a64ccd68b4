/** Tests are ES modules, transpiled file by file with swc; what they start (workers, collectors) is real Node on the real sources. */
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  testPathIgnorePatterns: [
    '/node_modules/',
    '<rootDir>/test/interop/',
    '<rootDir>/test/limits/',
    '<rootDir>/test/chaos/',
  ],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          parser: { syntax: 'typescript', decorators: true },
          transform: { decoratorVersion: '2022-03' },
          target: 'es2022',
        },
        module: { type: 'es6' },
      },
    ],
  },
  maxWorkers: 2,
  // A limit for hangs, not a measure of speed: the machine may be busy.
  testTimeout: 60_000,
};
