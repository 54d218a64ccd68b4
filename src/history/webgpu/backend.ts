// The WebGPU backend of TensorFlow.js as far as we look inside it. Whatever is not as in 4.22 makes it an ordinary backend to us.
import type { DataType, TensorInfo } from '@tensorflow/tfjs-core';
import type { TensorFlow } from '../tensorflow.ts';

/** The parts of `WebGPUBackend` that are used here; none of them is promised to anybody. */
export interface WebGPUBackend {
  readonly device: GPUDeviceLike;
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  /** Hands everything recorded so far to the device's queue; there must be an encoder, and no open pass. */
  submitQueue(): void;
  /** Gives a tensor its buffer, and its values if it has some on the host. */
  uploadToGPU(dataId: object): void;
  makeTensorInfo(shape: number[], dtype: DataType): TensorInfo;
  readonly tensorMap: { get(dataId: object): { readonly resource?: object } | undefined };
}

/** What is used of a GPUDevice; the types of WebGPU are not in every TypeScript installation. */
export interface GPUDeviceLike {
  readonly limits: {
    readonly maxStorageBuffersPerShaderStage: number;
    readonly maxStorageBufferBindingSize: number;
    readonly maxComputeWorkgroupsPerDimension: number;
  };
  readonly queue: {
    onSubmittedWorkDone(): Promise<unknown>;
    submit(commands: readonly object[]): void;
    writeBuffer(buffer: object, offset: number, data: ArrayBufferView): void;
  };
  createShaderModule(descriptor: { readonly code: string }): object;
  createComputePipeline(descriptor: object): PipelineLike;
  createBindGroup(descriptor: object): object;
  createBuffer(descriptor: { readonly size: number; readonly usage: number }): BufferLike;
  createCommandEncoder(): EncoderLike;
}
export interface PipelineLike {
  getBindGroupLayout(index: number): object;
}
export interface BufferLike {
  destroy(): void;
}
interface EncoderLike {
  beginComputePass(): PassLike;
  finish(): object;
}
interface PassLike {
  setPipeline(pipeline: PipelineLike): void;
  setBindGroup(index: number, group: object): void;
  dispatchWorkgroups(x: number, y?: number): void;
  end(): void;
}

const METHODS = [
  'ensureCommandEncoderReady',
  'endComputePassEncoder',
  'submitQueue',
  'uploadToGPU',
  'makeTensorInfo',
] as const;

/** The backend if it is WebGPU and looks as expected. */
export function webgpuOf(tf: TensorFlow): WebGPUBackend | undefined {
  const backend: unknown = tf.backend();
  if (tf.getBackend() !== 'webgpu' || typeof backend !== 'object' || backend === null) return undefined;
  const { device, tensorMap } = backend as Partial<WebGPUBackend>;
  const known =
    METHODS.every(method => typeof (backend as Partial<WebGPUBackend>)[method] === 'function') &&
    typeof tensorMap?.get === 'function' &&
    typeof device?.queue?.onSubmittedWorkDone === 'function' &&
    typeof device.createComputePipeline === 'function';
  return known ? (backend as WebGPUBackend) : undefined;
}

/** Hands what TensorFlow.js has recorded to the device, so that what is submitted next comes after it. */
export function submitRecorded(backend: WebGPUBackend): void {
  backend.ensureCommandEncoderReady();
  backend.endComputePassEncoder();
  backend.submitQueue();
}
