// Waiting for a device: what was asked of it so far is done when this resolves.
import type { HistoryState } from './state.ts';
import { isHostMemory, type Tensor } from './tensorflow.ts';
import { submitRecorded, webgpuOf } from './webgpu/backend.ts';

export async function settle(state: HistoryState): Promise<void> {
  const { tf } = state;
  if (isHostMemory(tf)) return;
  const webgpu = webgpuOf(tf);
  if (webgpu !== undefined) {
    submitRecorded(webgpu);
    await webgpu.device.queue.onSubmittedWorkDone();
    return;
  }
  const newest = newestFrame(state);
  if (newest === undefined) return;
  // Work is done in the order in which it was asked for: when one number has arrived, everything before it is done.
  const one = tf.tidy(() => tf.slice(tf.reshape(newest, [newest.size]), 0, 1));
  try {
    await one.data();
  } finally {
    one.dispose();
  }
}

function newestFrame(state: HistoryState): Tensor | undefined {
  for (const { clock, ring, elements } of state.fields.values()) {
    const frame = clock.count > 0 && elements > 0 ? ring[(clock.count - 1) % ring.length] : undefined;
    if (frame !== undefined) return frame.tensor;
  }
  return undefined;
}
