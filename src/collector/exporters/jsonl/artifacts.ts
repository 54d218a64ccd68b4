// Versions of a run's artifacts: which version an event belongs to, where its files go, and the manifest.json that lists them.
import path from 'node:path';
import { newAttributes } from '../../../otlp/attributes.ts';
import type { AnyValue, Attributes } from '../../../otlp/model.ts';
import type { Logger } from '../../component.ts';
import { ConfinementError, confinedRead, confinedReplaceSync } from '../../runs/confined.ts';
import { fileSegment } from '../../runs/file-names.ts';
import { isMap, parseJson, valueJson } from '../../runs/json.ts';
import {
  MAX_ALIASES,
  MAX_LISTED_FILES,
  MAX_LISTED_VERSIONS,
  MAX_MANIFEST_BYTES,
  MAX_OPEN_MANIFESTS,
} from './limits.ts';

export const ARTIFACTS_FOLDER = 'artifacts';
/** Alias of the newest version, which nobody has to give. */
const LATEST = 'latest';
const MANIFEST_FORMAT = 1;

/** What an artifact event says of its version. JSON: it travels in the cursor while the bytes are missing. */
export interface ArtifactClaim {
  readonly name: string;
  /** Events of an artifact that share it are files of one version: what one call logged. */
  readonly versionId: string;
  readonly aliases: readonly string[];
  readonly type: string;
  /** Unix seconds, as in a line. */
  readonly time: string;
  /** As JSON; empty without one. */
  readonly step: string;
  /** Of the file in the version's folder, as the sender wrote it; empty where there is only one file. */
  readonly file: string;
  readonly uri: string;
  /** As JSON; empty without any. */
  readonly metadata: string;
}

/** What the manifest says of a file. */
export interface ArtifactFile {
  readonly path?: string;
  readonly sha256?: string;
  readonly size?: number;
}

/** A version's place. */
export interface Claimed {
  readonly version: number;
  /** Below the run's folder. */
  readonly folders: readonly string[];
}

interface Version {
  readonly version: number;
  readonly entry: Attributes;
  readonly files: Map<string, Attributes>;
}

interface Manifest {
  readonly name: string;
  readonly folder: string;
  readonly versions: Map<string, Version>;
  readonly aliases: Map<string, number>;
  next: number;
  dirty: boolean;
}

export interface ArtifactsOptions {
  readonly root: string;
  readonly folder: string;
  readonly part: string;
  readonly logger: Logger;
}

/**
 * A manifest may be ahead of the last commit. What is read again then finds its version by its id and changes nothing: an
 * alias belongs to the highest version that claimed it, in whatever order the claims come.
 */
export class Artifacts {
  readonly #options: ArtifactsOptions;
  /** The least recently used is first. */
  readonly #manifests = new Map<string, Manifest>();

  constructor(options: ArtifactsOptions) {
    this.#options = options;
  }

  /** The version that a claim means: a known one, or the next. */
  claim(claim: ArtifactClaim): Claimed {
    const manifest = this.#manifest(claim.name);
    const { version } = this.#version(manifest, claim);
    return { version, folders: [ARTIFACTS_FOLDER, manifest.folder, `v${version}${this.#options.part}`] };
  }

  /** Notes a file of a claimed version, or the address in its place, and moves the aliases. */
  add(claim: ArtifactClaim, file: ArtifactFile): void {
    const manifest = this.#manifest(claim.name);
    const version = this.#version(manifest, claim);
    for (const alias of [LATEST, ...claim.aliases]) {
      const now = manifest.aliases.get(alias);
      if (now === undefined && manifest.aliases.size >= MAX_ALIASES) continue;
      if (now === undefined || now < version.version) manifest.aliases.set(alias, version.version);
    }
    const key = claim.file || claim.uri || (file.sha256 ?? '');
    if (version.files.has(key) || version.files.size < MAX_LISTED_FILES) {
      version.files.set(key, entryOf({ file: claim.file, uri: claim.uri, ...file }));
    }
    manifest.dirty = true;
  }

  /** Replaces the manifests that changed. Their names are durable once the folders are synced, which are returned. */
  write(): string[] {
    const { root, folder } = this.#options;
    const folders: string[] = [];
    for (const manifest of this.#manifests.values()) {
      if (this.#write(manifest)) folders.push(path.join(root, folder, ARTIFACTS_FOLDER, manifest.folder));
    }
    return folders;
  }

  #version(manifest: Manifest, claim: ArtifactClaim): Version {
    const known = manifest.versions.get(claim.versionId);
    if (known !== undefined) return known;
    const entry = entryOf({ type: claim.type });
    if (claim.step !== '') entry.step = parseJson(claim.step);
    entry.time = Number(claim.time);
    if (claim.metadata !== '') entry.metadata = parseJson(claim.metadata);
    const version: Version = { version: manifest.next++, entry, files: new Map() };
    manifest.versions.set(claim.versionId, version);
    if (manifest.versions.size > MAX_LISTED_VERSIONS) {
      manifest.versions.delete(manifest.versions.keys().next().value!);
    }
    return version;
  }

  #manifest(name: string): Manifest {
    const known = this.#manifests.get(name);
    if (known !== undefined) {
      this.#manifests.delete(name);
      this.#manifests.set(name, known);
      return known;
    }
    const manifest = this.#read(name);
    if (this.#manifests.size >= MAX_OPEN_MANIFESTS) {
      const [oldest, other] = this.#manifests.entries().next().value!;
      this.#write(other);
      this.#manifests.delete(oldest);
    }
    this.#manifests.set(name, manifest);
    return manifest;
  }

  #read(name: string): Manifest {
    const segment = fileSegment(name);
    const own = this.#load(name, segment);
    if (own !== undefined) return own;
    // Where file names ignore case, `Model` finds the folder of `model`.
    const apart = `${fileSegment(`${name}~${name}`).slice(0, 100)}~x`;
    return this.#load(name, apart) ?? newManifest(name, apart);
  }

  /** Undefined when the folder belongs to an artifact of another name. */
  #load(name: string, folder: string): Manifest | undefined {
    const { root, folder: run } = this.#options;
    const manifest = newManifest(name, folder);
    const content = confinedRead(root, [run, ARTIFACTS_FOLDER, folder, this.#file], MAX_MANIFEST_BYTES);
    if (content === undefined) return manifest;
    let document: AnyValue;
    try {
      document = parseJson(content.toString());
    } catch {
      this.#options.logger.warn('the manifest of an artifact is no JSON and is written anew', {
        run,
        artifact: folder,
      });
      return manifest;
    }
    if (!isMap(document)) return manifest;
    if (document.name !== name) return undefined;
    const { versions, aliases } = document;
    for (const one of Array.isArray(versions) ? versions : []) {
      if (!isMap(one) || typeof one.version !== 'number' || typeof one.id !== 'string') continue;
      const { version, id, files, ...entry } = one;
      const listed = Array.isArray(files) ? files.filter(isMap) : [];
      manifest.versions.set(id, {
        version,
        entry: Object.assign(newAttributes(), entry),
        files: new Map(listed.map(file => [String(file.file ?? file.uri ?? file.sha256), file])),
      });
      manifest.next = Math.max(manifest.next, version + 1);
    }
    if (isMap(aliases)) {
      for (const [alias, version] of Object.entries(aliases)) {
        if (typeof version === 'number') manifest.aliases.set(alias, version);
      }
    }
    return manifest;
  }

  #write(manifest: Manifest): boolean {
    if (!manifest.dirty) return false;
    manifest.dirty = false;
    const aliases = newAttributes();
    for (const [alias, version] of manifest.aliases) aliases[alias] = version;
    const document = newAttributes();
    document.format = MANIFEST_FORMAT;
    document.name = manifest.name;
    document.aliases = aliases;
    document.versions = [...manifest.versions].map(([id, { version, entry, files }]) =>
      Object.assign(newAttributes(), { version, ...entry, files: [...files.values()], id }),
    );
    const { root, folder, logger } = this.#options;
    try {
      const place = [folder, ARTIFACTS_FOLDER, manifest.folder, this.#file];
      confinedReplaceSync(root, place, `${valueJson(document, true)}\n`);
    } catch (error) {
      // The lines and the store have everything; only the folder for people cannot be used.
      if (!(error instanceof ConfinementError)) throw error;
      logger.warn(`the manifest of an artifact is not written: ${error.message}`, { run: folder });
      return false;
    }
    return true;
  }

  get #file(): string {
    return `manifest${this.#options.part}.json`;
  }
}

function newManifest(name: string, folder: string): Manifest {
  return { name, folder, versions: new Map(), aliases: new Map(), next: 0, dirty: false };
}

/** A map without what is undefined or empty. */
function entryOf(values: Readonly<Record<string, AnyValue | undefined>>): Attributes {
  const entry = newAttributes();
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined && value !== '') entry[key] = value;
  }
  return entry;
}
