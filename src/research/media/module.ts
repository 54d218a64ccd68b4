// The media calls that name no run: they act on the one that is current. See `MediaCalls` for each.
import { currentRun } from '../init.ts';
import type { MediaCalls } from './calls.ts';

type Call<Name extends keyof MediaCalls> = (...args: Parameters<MediaCalls[Name]>) => void;

/** See `Run.image`. */
export const image: Call<'image'> = (...args) => currentRun().image(...args);
/** See `Run.video`. */
export const video: Call<'video'> = (...args) => currentRun().video(...args);
/** See `Run.audio`. */
export const audio: Call<'audio'> = (...args) => currentRun().audio(...args);
/** See `Run.vector`. */
export const vector: Call<'vector'> = (...args) => currentRun().vector(...args);
/** See `Run.vectorField`. */
export const vectorField: Call<'vectorField'> = (...args) => currentRun().vectorField(...args);
/** See `Run.trajectories`. */
export const trajectories: Call<'trajectories'> = (...args) => currentRun().trajectories(...args);
/** See `Run.pointCloud`. */
export const pointCloud: Call<'pointCloud'> = (...args) => currentRun().pointCloud(...args);
/** See `Run.table`. */
export const table: Call<'table'> = (...args) => currentRun().table(...args);
/** See `Run.html`. */
export const html: Call<'html'> = (...args) => currentRun().html(...args);
/** See `Run.text`. */
export const text: Call<'text'> = (...args) => currentRun().text(...args);
/** See `Run.artifact`. */
export const artifact: Call<'artifact'> = (...args) => currentRun().artifact(...args);
/** See `Run.dictionary`. */
export const dictionary: Call<'dictionary'> = (...args) => currentRun().dictionary(...args);
/** See `Run.push`. */
export const push: Call<'push'> = (...args) => currentRun().push(...args);
