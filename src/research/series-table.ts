// From a metric's name and mode, as the caller wrote them, to the recorder's series.
import { createHash } from 'node:crypto';
import type { Recorder, ScopeId, SeriesId } from '../sdk/recorder.ts';
import { DEFAULT_MODE, MODE, MODE_SEGMENTS } from '../semconv/names.ts';
import { shown } from './checks.ts';
import type { Complaints } from './complaints.ts';

/** Longer metric names are cut here and end in a hash of the whole name, so that no two become one. */
export const MAX_NAME_LENGTH = 1_000;
/** Modes are part of a series' identity: a handful, not one per step. */
const MAX_MODES = 100;

export class SeriesTable {
  /** Series whose mode comes from the name: the first place to look, and mostly the last. */
  readonly plain = new Map<string, SeriesId>();
  /** Series of each named mode. */
  readonly modes = new Map<string, Map<string, SeriesId>>();
  /** By mode and wire name, so that `log({a})` and `log({a}, {mode: 'train'})` are one series. */
  private readonly series = new Map<string, SeriesId>();
  private readonly recorder: Recorder;
  private readonly scope: ScopeId;
  private readonly complaints: Complaints;
  private readonly modeFromName: boolean;
  /** What sinks call each series, by id; made for the first handler that wants to know. */
  private shownNames: Map<SeriesId, string> | undefined;

  constructor(recorder: Recorder, scope: ScopeId, complaints: Complaints, modeFromName: boolean) {
    this.recorder = recorder;
    this.scope = scope;
    this.complaints = complaints;
    this.modeFromName = modeFromName;
  }

  /** The series of a name, defined at its first use; 0 after the name has been dropped. */
  define(name: string, mode: string | undefined): SeriesId {
    const known = mode === undefined ? this.plain : this.modeTable(mode);
    const found = known?.get(name);
    if (found !== undefined) return found;
    if (name === '') {
      this.complaints.drop('bad_name', '', 1, 'a metric needs a name: "" is none; dropped');
      return 0;
    }
    if (known === undefined) {
      this.complaints.drop(
        'too_many_series',
        'mode',
        1,
        `more than ${MAX_MODES} modes; what comes in further ones is dropped`,
      );
      return 0;
    }
    const wire = this.wireName(name, mode);
    const key = `${wire.mode}\0${wire.name}`;
    let id = this.series.get(key);
    if (id === undefined) {
      id = this.recorder.defineSeries(this.scope, wire.name, { [MODE]: wire.mode });
      // The recorder has given out all its ids; it counts what is lost itself when it is handed 0.
      if (id !== 0) {
        this.series.set(key, id);
        this.shownNames?.set(id, shownName(key));
      }
    }
    if (id === 0)
      this.complaints.drop('too_many_series', 'name', 1, `too many metric names; ${shown(name)} is dropped`);
    else known.set(name, id);
    return id;
  }

  /** The name with its mode, where that is not `train` and the name does not begin with it. */
  shownName(id: SeriesId): string {
    this.shownNames ??= new Map([...this.series].map(([key, series]) => [series, shownName(key)]));
    return this.shownNames.get(id) ?? '';
  }

  private modeTable(mode: string): Map<string, SeriesId> | undefined {
    let table = this.modes.get(mode);
    if (table === undefined && this.modes.size < MAX_MODES) {
      table = new Map();
      this.modes.set(mode, table);
    }
    return table;
  }

  private wireName(name: string, mode: string | undefined): { name: string; mode: string } {
    const slash = name.indexOf('/');
    const first = slash > 0 ? name.slice(0, slash) : undefined;
    let wire = name;
    let wireMode = mode ?? (first !== undefined && MODE_SEGMENTS.has(first) ? first : DEFAULT_MODE);
    if (
      this.modeFromName &&
      first !== undefined &&
      slash + 1 < name.length &&
      (mode === undefined || mode === first)
    ) {
      wire = name.slice(slash + 1);
      wireMode = first;
    }
    if (wire.length > MAX_NAME_LENGTH) {
      this.complaints.once(
        `long ${wire.slice(0, 40)}`,
        `a metric name of ${wire.length} characters is cut to ${MAX_NAME_LENGTH}: ${shown(wire)}`,
      );
      wire = cutName(wire);
    }
    return { name: wire, mode: wireMode };
  }
}

/** @param key mode and wire name, as `series` has them */
function shownName(key: string): string {
  const end = key.indexOf('\0');
  const mode = key.slice(0, end);
  const name = key.slice(end + 1);
  return mode === DEFAULT_MODE || name.startsWith(`${mode}/`) ? name : `${mode}/${name}`;
}

function cutName(name: string): string {
  const hash = createHash('sha256').update(Buffer.from(name, 'utf16le')).digest('hex').slice(0, 16);
  return `${name.slice(0, MAX_NAME_LENGTH - 17)}~${hash}`;
}
