// Makes of one job what it asks for: pixels to PNG, frames to GIF or MP4, samples to WAV, fields to pictures and .npy, files to chunks.
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Attributes } from '../../otlp/model.ts';
import * as names from '../../semconv/names.ts';
import { asNumbers, toPixels } from './arrays.ts';
import { pictureSize } from './formats.ts';
import { frameCount, videoFrames } from './frames.ts';
import { encodeGif } from './gif.ts';
import type { MediaSource, UnpackedJob } from './job.ts';
import { encodeMp4 } from './mp4.ts';
import { encodeNpy, NPY_MIME_TYPE } from './npy.ts';
import { encodePly, PLY_MIME_TYPE } from './ply.ts';
import { encodePng, type Image } from './png.ts';
import type { Records } from './records.ts';
import { renderPointCloud, renderTrajectories } from './trajectories.ts';
import { renderVectorField } from './vector-field.ts';
import { encodeWav } from './wav.ts';

/** Files of one folder artifact, and how deep they may lie. */
const MAX_FOLDER_FILES = 100_000;
const MAX_FOLDER_DEPTH = 64;

/** One line for people, once per key. */
export type Tell = (key: string, line: string) => void;

type Source<As extends MediaSource['as']> = Extract<MediaSource, { as: As }>;

/** Throws, with a reason for people, when it cannot be done. */
export async function encodeJob(unpacked: UnpackedJob, records: Records, tell: Tell): Promise<void> {
  const { job, content } = unpacked;
  const { source, title } = job;
  switch (source.as) {
    case 'image':
      return encodeImage(source, content, records);
    case 'video':
      return encodeVideo(source, content, records, title, tell);
    case 'audio':
      return encodeAudio(source, content, records, title, tell);
    case 'vector_field': {
      const [height, width] = source.array.shape as [number, number];
      const field = asNumbers(content, source.array.dtype);
      await picture(records, renderVectorField(field, height, width, source.render));
      return records.bytes(encodeNpy(source.array, content), { [names.MEDIA_MIME_TYPE]: NPY_MIME_TYPE });
    }
    case 'trajectories': {
      const [count, length, dimensions] = source.array.shape as [number, number, number];
      const points = asNumbers(content, source.array.dtype);
      await picture(records, renderTrajectories(points, count, length, dimensions));
      return records.bytes(encodeNpy(source.array, content), { [names.MEDIA_MIME_TYPE]: NPY_MIME_TYPE });
    }
    case 'point_cloud': {
      const [count, columns] = source.array.shape as [number, number];
      const points = asNumbers(content, source.array.dtype);
      await picture(records, renderPointCloud(points, count, columns));
      return records.bytes(encodePly(points, count, columns), { [names.MEDIA_MIME_TYPE]: PLY_MIME_TYPE });
    }
    case 'bytes':
      return finished(source, content, records);
    case 'artifact': {
      const attributes = { [names.ARTIFACT_PATH]: source.path };
      return source.file === undefined
        ? records.bytes(content, attributes)
        : records.file(source.file, attributes);
    }
    case 'folder':
      return folder(source.path, records, title, tell);
    case 'reference':
      return records.reference({});
  }
}

async function encodeImage(source: Source<'image'>, content: Uint8Array, records: Records): Promise<void> {
  const { array, range } = source;
  const [height, width, channels] = array.shape as [number, number, Image['channels']];
  const pixels = toPixels(asNumbers(content, array.dtype), array.dtype, range);
  await picture(records, { width, height, channels, pixels });
}

async function picture(records: Records, image: Image): Promise<void> {
  await records.bytes(await encodePng(image), {
    [names.MEDIA_MIME_TYPE]: 'image/png',
    [names.MEDIA_WIDTH]: image.width,
    [names.MEDIA_HEIGHT]: image.height,
  });
}

async function encodeVideo(
  source: Source<'video'>,
  content: Uint8Array,
  records: Records,
  title: string,
  tell: Tell,
): Promise<void> {
  const { array, layout, fps, range } = source;
  const frames = () => videoFrames(array, content, layout, range);
  const first = frames()[Symbol.iterator]().next().value!;
  const attributes: Attributes = {
    [names.MEDIA_WIDTH]: first.width,
    [names.MEDIA_HEIGHT]: first.height,
    [names.MEDIA_FRAMES]: frameCount(array, layout),
    [names.MEDIA_FPS]: fps,
  };
  if (source.format === 'mp4') {
    const outcome = await encodeMp4(frames(), first, fps);
    if (outcome.kind === 'encoded')
      return records.bytes(outcome.bytes, { ...attributes, [names.MEDIA_MIME_TYPE]: 'video/mp4' });
    tell('mp4', `${title} and other videos become GIF instead of MP4: ${outcome.reason}`);
  }
  await records.bytes(encodeGif(frames(), fps), { ...attributes, [names.MEDIA_MIME_TYPE]: 'image/gif' });
}

async function encodeAudio(
  source: Source<'audio'>,
  content: Uint8Array,
  records: Records,
  title: string,
  tell: Tell,
): Promise<void> {
  const { array, sampleRate } = source;
  const samples = asNumbers(content, array.dtype);
  const { bytes, clipped } = encodeWav({
    samples,
    dtype: array.dtype,
    channels: array.shape[1]!,
    sampleRate,
  });
  if (clipped > 0)
    tell(
      `clipped ${title}`,
      `${title}: ${clipped} of ${samples.length} samples lie outside -1 to 1 and are clipped`,
    );
  await records.bytes(bytes, { [names.MEDIA_MIME_TYPE]: 'audio/wav' });
}

async function finished(source: Source<'bytes'>, content: Uint8Array, records: Records): Promise<void> {
  const attributes: Attributes = { [names.MEDIA_MIME_TYPE]: source.mimeType };
  if (source.file !== undefined) return records.file(source.file, attributes);
  const size = pictureSize(source.mimeType, content);
  if (size !== undefined) {
    attributes[names.MEDIA_WIDTH] = size.width;
    attributes[names.MEDIA_HEIGHT] = size.height;
  }
  return records.bytes(content, attributes);
}

/** One event per file, each with its path inside. Links are not followed: they may lead anywhere. */
async function folder(root: string, records: Records, title: string, tell: Tell): Promise<void> {
  let files = 0;
  let left = 0;
  let failure: Error | undefined;
  const walk = async (inside: string, depth: number): Promise<void> => {
    for (const name of readdirSync(join(root, inside)).sort()) {
      const relative = inside === '' ? name : `${inside}/${name}`;
      const path = join(root, relative);
      const seen = lstatSync(path);
      if (seen.isDirectory() && depth < MAX_FOLDER_DEPTH) await walk(relative, depth + 1);
      else if (!seen.isFile() || files >= MAX_FOLDER_FILES) left++;
      else {
        files++;
        try {
          const file = { path, size: seen.size, mtimeMs: seen.mtimeMs };
          await records.file(file, { [names.ARTIFACT_PATH]: relative });
        } catch (error) {
          failure ??= error instanceof Error ? error : new Error(String(error));
        }
      }
    }
  };
  await walk('', 0);
  if (left > 0)
    tell(
      `left ${title}`,
      `${title}: ${left} entries of ${root} are left out (links, devices, more than ${MAX_FOLDER_FILES} files or ${MAX_FOLDER_DEPTH} levels)`,
    );
  if (failure !== undefined) throw failure;
  if (files === 0) throw new Error(`${root} has no files`);
}
