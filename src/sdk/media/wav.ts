// WAV (16-bit PCM) from samples, as the RIFF specification of 1991 has it.
import type { NumberArray } from './arrays.ts';
import type { DType } from './job.ts';

const HEADER_BYTES = 44;
const BYTES_PER_SAMPLE = 2;
const PCM = 1;

export interface Audio {
  readonly samples: NumberArray;
  readonly dtype: DType;
  /** Samples of one moment stand together. */
  readonly channels: number;
  readonly sampleRate: number;
}

/** Floats are -1 to 1; what lies outside is clipped and counted. Whole numbers are taken as PCM of their own width. */
export function encodeWav(audio: Audio): { bytes: Uint8Array; clipped: number } {
  const { samples, dtype, channels, sampleRate } = audio;
  const dataBytes = samples.length * BYTES_PER_SAMPLE;
  const wav = Buffer.allocUnsafe(HEADER_BYTES + dataBytes);
  wav.write('RIFF', 0, 'latin1');
  wav.writeUInt32LE(HEADER_BYTES - 8 + dataBytes, 4);
  wav.write('WAVEfmt ', 8, 'latin1');
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(PCM, 20);
  wav.writeUInt16LE(channels, 22);
  wav.writeUInt32LE(sampleRate, 24);
  wav.writeUInt32LE(sampleRate * channels * BYTES_PER_SAMPLE, 28);
  wav.writeUInt16LE(channels * BYTES_PER_SAMPLE, 32);
  wav.writeUInt16LE(8 * BYTES_PER_SAMPLE, 34);
  wav.write('data', 36, 'latin1');
  wav.writeUInt32LE(dataBytes, 40);
  let clipped = 0;
  for (let i = 0; i < samples.length; i++) {
    let value = pcm(samples[i]!, dtype);
    if (value > 32_767 || value < -32_768) {
      clipped++;
      value = value < 0 ? -32_768 : 32_767;
    }
    wav.writeInt16LE(value, HEADER_BYTES + i * BYTES_PER_SAMPLE);
  }
  return { bytes: wav, clipped };
}

/** Not clipped yet. */
function pcm(value: number, dtype: DType): number {
  switch (dtype) {
    case 'int16':
      return value;
    case 'int32':
      return value >> 16;
    case 'uint8':
      return (value - 128) << 8;
    default:
      return Math.round(value * 32_767);
  }
}
