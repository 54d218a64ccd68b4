// Refuses to go on where Node is too old: the first import of the library's entry points, so that nothing fails less clearly.
import { nodeTooOld } from './node-version.ts';

const problem = nodeTooOld();
if (problem !== undefined) throw new Error(problem);
