// Opens and replaces files below a folder so that no name and no symbolic link inside it leads out of it.
import fs from 'node:fs';
import path from 'node:path';

const { O_APPEND, O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = fs.constants;
/** Not on Windows, where the check before and after opening has to do. */
const O_NOFOLLOW = fs.constants.O_NOFOLLOW ?? 0;
/** The most a file system takes for one name. */
const MAX_SEGMENT_BYTES = 255;
const FOLDER_MODE = 0o750;
const FILE_MODE = 0o640;

/** A path below the root is, or has become, something else than a plain folder or file. Not worth a retry. */
export class ConfinementError extends Error {
  readonly path: string;
  constructor(place: string, reason: string) {
    super(`${place}: ${reason}; remove it or choose another directory`);
    this.name = 'ConfinementError';
    this.path = place;
  }
}

/**
 * Opens `<root>/<segments…>` for reading and appending; makes the folders and the file where they are missing. The root may
 * be or contain a symbolic link (its owner chose it), nothing below it may. Returns the file descriptor.
 * @throws ConfinementError, and what the file system throws.
 */
export function confinedOpen(root: string, ...segments: readonly string[]): number {
  return confinedOpenAs(O_RDWR | O_APPEND | O_CREAT, root, segments);
}

/** `confinedOpen` for writing at any offset. @throws ConfinementError, and what the file system throws. */
export function confinedOpenAnywhere(root: string, ...segments: readonly string[]): number {
  return confinedOpenAs(O_RDWR | O_CREAT, root, segments);
}

/** Makes an empty file; false when there is one of that name already. @throws like `confinedOpen` */
export function confinedCreate(root: string, ...segments: readonly string[]): boolean {
  try {
    fs.closeSync(confinedOpenAs(O_WRONLY | O_CREAT | O_EXCL, root, segments));
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Opens a file that is there for reading; undefined when there is none. @throws ConfinementError, and what the file system throws. */
export function confinedOpenExisting(root: string, ...segments: readonly string[]): number | undefined {
  try {
    return confinedOpenAs(O_RDONLY, root, segments);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Makes the folder `<root>/<segments…>`, or checks that it is one; returns its real path. @throws like `confinedOpen` */
export function confinedFolder(root: string, ...segments: readonly string[]): string {
  for (const segment of segments) checkSegment(root, segment);
  return folderBelow(root, segments, true);
}

/** Gives a file a second name (a hard link) in a folder that `confinedFolder` made. Does not replace anything: EEXIST is thrown. */
export function confinedLink(file: string, folder: string, name: string): void {
  checkSegment(folder, name);
  const link = path.join(folder, name);
  fs.linkSync(file, link);
  // A folder above that was replaced by a link in between would have led out.
  if (fs.realpathSync(folder) === folder) return;
  fs.rmSync(link, { force: true });
  throw new ConfinementError(folder, 'changed while a file was put into it');
}

/** The content of `<root>/<segments…>`, undefined when there is no such file, at most `maxBytes` of it. */
export function confinedRead(
  root: string,
  segments: readonly string[],
  maxBytes: number,
): Buffer | undefined {
  let fd: number;
  try {
    fd = confinedOpenAs(O_RDONLY, root, segments);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const content = Buffer.alloc(Math.min(fs.fstatSync(fd).size, maxBytes));
    let length = 0;
    while (length < content.length) {
      const read = fs.readSync(fd, content, length, content.length - length, length);
      if (read === 0) break;
      length += read;
    }
    return content.subarray(0, length);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Replaces `<root>/<segments…>` in one step: readers see the old content or the new one. The content is durable before it gets
 * its name; the name itself is not (`syncFolder`). Blocks for the disk.
 */
export function confinedReplaceSync(root: string, segments: readonly string[], content: string): void {
  const temporary = temporaryOf(segments);
  const fd = confinedOpenAs(O_WRONLY | O_CREAT | O_TRUNC, root, temporary);
  try {
    fs.writeFileSync(fd, content);
    fs.fdatasyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
  rename(root, temporary, segments);
}

/** `confinedReplaceSync` that waits for the disk without blocking. Not for one file twice at a time. */
export async function confinedReplace(
  root: string,
  segments: readonly string[],
  content: string,
): Promise<void> {
  const temporary = temporaryOf(segments);
  const fd = confinedOpenAs(O_WRONLY | O_CREAT | O_TRUNC, root, temporary);
  try {
    fs.writeFileSync(fd, content);
    await new Promise<void>((resolve, reject) => {
      fs.fdatasync(fd, error => (error === null ? resolve() : reject(error)));
    });
  } finally {
    fs.closeSync(fd);
  }
  rename(root, temporary, segments);
}

/** Makes names in a folder durable. Windows has no such call and needs none. */
export function syncFolder(folder: string): void {
  if (process.platform === 'win32') return;
  const fd = fs.openSync(folder, O_RDONLY);
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Node has no `openat`, so each part is looked at before it is used, and what was opened is compared with what the path
 * names afterwards: a link put there in between is found.
 */
function confinedOpenAs(flags: number, root: string, segments: readonly string[]): number {
  if (segments.length === 0) throw new ConfinementError(root, 'no file named below it');
  for (const segment of segments) checkSegment(root, segment);
  const place = folderBelow(root, segments.slice(0, -1), (flags & O_CREAT) !== 0);
  const file = path.join(place, segments.at(-1)!);
  const found = fs.lstatSync(file, { throwIfNoEntry: false });
  if (found?.isSymbolicLink()) throw new ConfinementError(file, 'is a symbolic link');
  if (found !== undefined && !found.isFile()) throw new ConfinementError(file, 'is not a regular file');
  let fd: number;
  try {
    // O_NONBLOCK: a pipe put there in between would keep us waiting for its other end.
    fd = fs.openSync(file, flags | O_NOFOLLOW | (O_NONBLOCK ?? 0), FILE_MODE);
  } catch (error) {
    if (systemCode(error) === 'ELOOP') throw new ConfinementError(file, 'is a symbolic link');
    throw error;
  }
  try {
    const opened = fs.fstatSync(fd);
    const named = fs.lstatSync(file);
    if (!opened.isFile()) throw new ConfinementError(file, 'is not a regular file');
    if (opened.ino !== named.ino || opened.dev !== named.dev || fs.realpathSync(place) !== place) {
      throw new ConfinementError(file, 'changed while it was opened');
    }
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
  return fd;
}

function folderBelow(root: string, segments: readonly string[], create: boolean): string {
  if (create) fs.mkdirSync(root, { recursive: true, mode: FOLDER_MODE });
  let place = fs.realpathSync(root);
  for (const segment of segments) {
    place = path.join(place, segment);
    if (create) makeFolder(place);
    const found = fs.lstatSync(place);
    if (found.isSymbolicLink()) throw new ConfinementError(place, 'is a symbolic link');
    if (!found.isDirectory()) throw new ConfinementError(place, 'is not a folder');
  }
  return place;
}

function temporaryOf(segments: readonly string[]): readonly string[] {
  const last = segments.length - 1;
  return [...segments.slice(0, last), `${segments[last]}.tmp`];
}

/** Over a symbolic link this replaces the link, never what it points at. */
function rename(root: string, from: readonly string[], to: readonly string[]): void {
  fs.renameSync(path.join(root, ...from), path.join(root, ...to));
}

function makeFolder(place: string): void {
  try {
    fs.mkdirSync(place, { mode: FOLDER_MODE });
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
  }
}

function checkSegment(root: string, segment: string): void {
  const wrong =
    segment === '' ||
    segment === '.' ||
    segment === '..' ||
    /[/\\\0]/.test(segment) ||
    Buffer.byteLength(segment) > MAX_SEGMENT_BYTES;
  if (wrong)
    throw new ConfinementError(path.join(root, JSON.stringify(segment)), 'is no name for a file below it');
}

/** What the file system said (`ENOENT` …); undefined for other errors. */
export function systemCode(error: unknown): string | undefined {
  // No `instanceof`: Node's errors may come from another realm than this module.
  if (typeof error !== 'object' || error === null || !('syscall' in error)) return undefined;
  return 'code' in error ? String(error.code) : undefined;
}
