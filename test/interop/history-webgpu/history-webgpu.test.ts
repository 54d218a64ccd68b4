// Histories on WebGPU: Dawn on a Vulkan driver in software, TensorFlow.js's backend, our kernels.

import { itBehavesOn } from '../history-device.ts';
import { describeWithPeers } from '../peers.ts';

describeWithPeers('histories on WebGPU', ['history-webgpu'], folder => {
  itBehavesOn('webgpu', folder, /SwiftShader|llvmpipe|NVIDIA|AMD|Intel/);
});
