// The kernel that puts a window together, in WGSL, one variant for each number of frames, width and initial value; compiled once per device.
import { GOLDEN, SECOND_KEY } from '../noise.ts';
import type { GPUDeviceLike, PipelineLike } from './backend.ts';

export const WORKGROUP_SIZE = 64;

export interface Variant {
  /** 0: the initial value alone. */
  readonly frames: number;
  /** Elements that one invocation moves. */
  readonly wide: 1 | 4;
  readonly fill: 'zeros' | 'ones' | 'randn';
  readonly float: boolean;
  /** Rows may have been reset. Always so where there is no frame. */
  readonly masked: boolean;
}

const pipelines = new WeakMap<GPUDeviceLike, Map<string, PipelineLike>>();

export function pipelineFor(device: GPUDeviceLike, variant: Variant): PipelineLike {
  let known = pipelines.get(device);
  if (known === undefined) {
    known = new Map();
    pipelines.set(device, known);
  }
  const key = Object.values(variant).join(' ');
  let pipeline = known.get(key);
  if (pipeline === undefined) {
    const module = device.createShaderModule({ code: windowKernel(variant) });
    pipeline = device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } });
    known.set(key, pipeline);
  }
  return pipeline;
}

function windowKernel({ frames, wide, fill, float, masked }: Variant): string {
  const type = wide === 4 ? 'vec4<u32>' : 'u32';
  const one = float ? '0x3f800000u' : '1u';
  const initial =
    fill === 'randn' ? 'noise(row, element, position, at)' : `${type}(${fill === 'ones' ? one : '0u'})`;
  const firstFrame = masked ? 3 : 2;
  const bindings = Array.from(
    { length: frames },
    (_, k) => `@group(0) @binding(${firstFrame + k}) var<storage, read> frame${k}: array<${type}>;`,
  );
  const copies = Array.from({ length: frames }, (_, k) => {
    const position = `let position = parameters.position + ${k}u;`;
    const write = `result[base + position * parameters.elements] =`;
    if (!masked) return `{ ${position} ${write} frame${k}[i]; }`;
    return `{ ${position} if (parameters.first + i32(position) >= at) { ${write} frame${k}[i]; } else { ${write} ${initial}; } }`;
  });
  const only = `for (var position = parameters.position; position < parameters.position + parameters.count; position++) {
    result[base + position * parameters.elements] = ${initial};
  }`;
  return `
struct Parameters {
  batch: u32, positions: u32, elements: u32, position: u32,
  count: u32, first: i32, length: i32, seed: u32,
}
@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read_write> result: array<${type}>;
${masked ? '@group(0) @binding(2) var<storage, read> resetAt: array<i32>;' : ''}
${bindings.join('\n')}
${fill === 'randn' ? NOISE : ''}
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.x + id.y * groups.x * ${WORKGROUP_SIZE}u;
  if (i >= parameters.batch * parameters.elements) { return; }
  let row = i / parameters.elements;
  let element = i % parameters.elements;
  let base = row * parameters.positions * parameters.elements + element;
  ${masked ? 'let at = resetAt[row];' : ''}
  ${frames === 0 ? only : copies.join('\n  ')}
}
`;
}

/** As in noise.ts. */
const NOISE = `
fn mix(value: u32) -> u32 {
  var bits = value;
  bits = (bits ^ (bits >> 16u)) * 0x85ebca6bu;
  bits = (bits ^ (bits >> 13u)) * 0xc2b2ae35u;
  return bits ^ (bits >> 16u);
}
fn noise(row: u32, element: u32, position: u32, at: i32) -> u32 {
  let key = mix(mix(parameters.seed + row * ${GOLDEN}u) + u32(at) * ${GOLDEN}u);
  let place = u32(parameters.first + i32(position) - at + parameters.length);
  let counter = (place * parameters.elements + element) * ${GOLDEN}u;
  let high = mix(mix(counter + key) + mix(key + ${SECOND_KEY}u));
  let low = mix(high + key);
  let radius = sqrt(-2.0 * log((f32(high >> 8u) + 0.5) * 0x1p-24));
  return bitcast<u32>(radius * cos(f32(low >> 8u) * 0x1p-24 * 6.2831853071795864));
}
`;
