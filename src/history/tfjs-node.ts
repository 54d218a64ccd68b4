// Import this before `@tensorflow/tfjs-node` or `-gpu` 4.22 on Node 23 and later: they call two functions of node:util that are gone there.
import util from 'node:util';

const gone = util as unknown as { isNullOrUndefined?: unknown; isArray?: unknown };
gone.isNullOrUndefined ??= (value: unknown): boolean => value === null || value === undefined;
gone.isArray ??= Array.isArray;
