// The media calls, as runs and loggers have them.
import type {
  ArrayOptions,
  ArtifactOptions,
  AudioOptions,
  FieldOptions,
  ImageOptions,
  MediaOptions,
  RowMediaOptions,
  TableOptions,
  TextOptions,
  VideoOptions,
} from './options.ts';
import type { ArrayInput } from './shapes.ts';
import type { MediaWriter } from './writer.ts';

/**
 * Each call copies what it is given and returns; encoding happens on another thread. Without a step it has the step under way.
 *
 * A wrong name or option is thrown as a TypeError or RangeError at once. A value that cannot be taken (a wrong shape, also one that an
 * option says, NaN pixels, a missing file) is dropped, counted and printed once per name, or thrown when the run is strict.
 */
export abstract class MediaCalls {
  /** @internal */
  abstract mediaWriter(): MediaWriter;

  /**
   * A picture: pixels of shape `[height, width]` or `[height, width, 1 | 3 | 4]` (a tensor, a typed array with its shape, nested
   * arrays), or a PNG, JPEG, WebP or GIF as bytes or path, which stays as it is.
   *
   * uint8 is taken as it is. Other numbers: all the same: black; all within [0, 1]: times 255; else the least becomes 0 and the
   * greatest 255; `range` says otherwise.
   *
   * @example
   * run.image('env/frame', pixels, { width: 84, height: 84, step: 100 });
   */
  image(name: string, image: ArrayInput, options?: ImageOptions): void {
    this.mediaWriter().image(name, image, options);
  }

  /**
   * Frames of shape `[F, H, W]`, `[F, C, H, W]`, `[F, H, W, C]` or, several videos side by side, `[N, F, C, H, W]`, with 1, 3 or 4
   * channels; or an MP4, WebM or GIF as bytes or path. Values as for `image`, for all frames together.
   */
  video(name: string, video: ArrayInput, options?: VideoOptions): void {
    this.mediaWriter().video(name, video, options);
  }

  /** Samples of shape `[samples]` or `[samples, channels]`, floats from -1 to 1 or integers, as 16-bit WAV; or an audio file. */
  audio(name: string, audio: ArrayInput, options?: AudioOptions): void {
    this.mediaWriter().audio(name, audio, options);
  }

  /** Up to 1,000 numbers as the scalars `name_0`, `name_1`, … of one row. */
  vector(name: string, values: ArrayInput, options?: RowMediaOptions): void {
    this.mediaWriter().vector(name, values, options);
  }

  /** Vectors (x, y) of shape `[height, width, 2]`: a picture, and the numbers as .npy. */
  vectorField(name: string, field: ArrayInput, options?: FieldOptions): void {
    this.mediaWriter().vectorField(name, field, options);
  }

  /** Paths of shape `[count, length, 2 | 3]`, coloured by speed; NaN is a gap. A picture, and the numbers as .npy. */
  trajectories(name: string, points: ArrayInput, options?: ArrayOptions): void {
    this.mediaWriter().trajectories(name, points, options);
  }

  /** Points of shape `[count, 3]`, with a category `[count, 4]`, or with a colour `[count, 6]`. A picture, and the points as .ply. */
  pointCloud(name: string, points: ArrayInput, options?: ArrayOptions): void {
    this.mediaWriter().pointCloud(name, points, options);
  }

  /** Rows as objects, as arrays beside `columns`, or `{columns, data}`. */
  table(name: string, rows: unknown, options?: TableOptions): void {
    this.mediaWriter().table(name, rows, options);
  }

  html(name: string, html: string, options?: MediaOptions): void {
    this.mediaWriter().html(name, html, options);
  }

  /** A text that belongs to a step, such as a sample that a model wrote. Lines of a log go to `getLogger`. */
  text(name: string, text: string, options?: TextOptions): void {
    this.mediaWriter().text(name, text, options);
  }

  /**
   * A file or a folder by path, bytes, text or JSON with a `format`, or the address of something elsewhere (`s3://…`), which alone
   * travels. Each call makes a new version. A file of more than 4 MiB is read after the call, piece by piece: it must stay as it is
   * until then.
   */
  artifact(name: string, source: unknown, options?: ArtifactOptions): void {
    this.mediaWriter().artifact(name, source, options);
  }

  /**
   * Nested values under `name/key`: numbers become one row, lists `name_i`, arrays images, vector fields or videos by their shape.
   * A key that begins with `/` is added to the name as it is.
   */
  dictionary(name: string, data: object, options?: RowMediaOptions): void {
    this.mediaWriter().dictionary(name, data, options);
  }

  /** A row that may hold images: numbers become one row, arrays of an image's shape images at its step. */
  push(metrics: object, options?: RowMediaOptions): void {
    this.mediaWriter().push(metrics, options);
  }
}
