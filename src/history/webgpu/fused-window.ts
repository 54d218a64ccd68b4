// A whole window in as few passes as there is memory to write: one kernel copies the frames of several positions into the result, with
// the initial value (zeros, ones or random numbers) where a row has no frame.
import { deviceResetAt } from '../clock.ts';
import type { Tensor } from '../tensorflow.ts';
import type { Window } from '../window-plan.ts';
import { submitRecorded, type WebGPUBackend, webgpuOf } from './backend.ts';
import { pipelineFor, type Variant, WORKGROUP_SIZE } from './window-kernel.ts';

/** Frames that one kernel copies at most; more make it no faster. */
const MAX_FRAMES = 30;
/** Bindings beside the frames: the result and the rows' resets. */
const OTHER_BUFFERS = 2;
/** What dynamic offsets into a uniform buffer must be a multiple of, on every device. */
const PARAMETERS_STRIDE = 256;
const PARAMETERS = 8;
const BYTES_PER_ELEMENT = 4;
/** GPUBufferUsage.UNIFORM | COPY_DST. */
const UNIFORM_USAGE = 0x40 | 0x08;

/** The window as a tensor, or undefined where the backend is another or looks different than expected. Inside a tidy. */
export function fusedWindow(window: Window): Tensor | undefined {
  const { tf, field, batchSize, positions, first } = window;
  const backend = webgpuOf(tf);
  if (backend === undefined) return undefined;
  const { limits } = backend.device;
  const elements = batchSize * positions * field.elements;
  if (elements * BYTES_PER_ELEMENT > limits.maxStorageBufferBindingSize) return undefined;

  const chunks = chunksOf(
    window,
    Math.min(MAX_FRAMES, limits.maxStorageBuffersPerShaderStage - OTHER_BUFFERS),
  );
  const resetAt = window.complete ? undefined : deviceResetAt(tf, window.resetAt);
  const result = backend.makeTensorInfo([batchSize, positions, field.elements], field.spec.dtype);
  const used = [
    result.dataId,
    ...(resetAt ? [resetAt.dataId] : []),
    ...chunks.flatMap(chunk => chunk.frames),
  ];
  for (const dataId of used) backend.uploadToGPU(dataId);
  // Ours go to the device's queue by themselves, after all that the frames come from.
  submitRecorded(backend);
  run(backend, window, chunks, buffer(backend, result.dataId), resetAt && buffer(backend, resetAt.dataId));
  return tf.engine().makeTensorFromTensorInfo(result);

  function chunksOf(of: Window, size: number): Chunk[] {
    const missing = Math.min(Math.max(0, -first), positions);
    const found: Chunk[] = missing > 0 ? [{ position: 0, count: missing, frames: [] }] : [];
    for (let position = missing; position < positions; position += size) {
      const count = Math.min(size, positions - position);
      const { ring } = of.field;
      const frames = Array.from(
        { length: count },
        (_, i) => ring[(first + position + i) % ring.length]!.tensor.dataId,
      );
      found.push({ position, count, frames });
    }
    return found;
  }
}

/** Positions that one dispatch writes: from their frames, or without any the initial value. */
interface Chunk {
  readonly position: number;
  readonly count: number;
  readonly frames: readonly object[];
}

function run(
  backend: WebGPUBackend,
  window: Window,
  chunks: readonly Chunk[],
  result: object,
  resetAt: object | undefined,
): void {
  const { device } = backend;
  const { field, batchSize, positions, first } = window;
  const wide = field.elements % 4 === 0 && window.fill !== 'randn' ? 4 : 1;
  const perRow = field.elements / wide;
  const parameters = new Int32Array((chunks.length * PARAMETERS_STRIDE) / BYTES_PER_ELEMENT);
  for (const [i, { position, count }] of chunks.entries())
    parameters.set(
      [batchSize, positions, perRow, position, count, first, field.spec.length, field.noiseSeed].map(
        n => n | 0,
      ),
      (i * PARAMETERS_STRIDE) / BYTES_PER_ELEMENT,
    );
  const uniforms = device.createBuffer({ size: parameters.byteLength, usage: UNIFORM_USAGE });
  device.queue.writeBuffer(uniforms, 0, parameters);
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  const groups = Math.ceil((batchSize * perRow) / WORKGROUP_SIZE);
  const most = device.limits.maxComputeWorkgroupsPerDimension;
  for (const [i, { frames }] of chunks.entries()) {
    const variant: Variant = {
      frames: frames.length,
      wide,
      fill: window.fill === 'randn' ? 'randn' : window.fill === 0 ? 'zeros' : 'ones',
      float: field.spec.dtype === 'float32',
      masked: resetAt !== undefined,
    };
    const pipeline = pipelineFor(device, variant);
    pass.setPipeline(pipeline);
    const buffers = [result, ...(resetAt ? [resetAt] : []), ...frames.map(dataId => buffer(backend, dataId))];
    pass.setBindGroup(
      0,
      device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [
          {
            binding: 0,
            resource: {
              buffer: uniforms,
              offset: i * PARAMETERS_STRIDE,
              size: PARAMETERS * BYTES_PER_ELEMENT,
            },
          },
          ...buffers.map((one, at) => ({ binding: at + 1, resource: { buffer: one } })),
        ],
      }),
    );
    pass.dispatchWorkgroups(Math.min(groups, most), Math.ceil(groups / most));
  }
  pass.end();
  device.queue.submit([encoder.finish()]);
  // The device keeps it until it is done with it.
  uniforms.destroy();
}

function buffer(backend: WebGPUBackend, dataId: object): object {
  return backend.tensorMap.get(dataId)!.resource!;
}
