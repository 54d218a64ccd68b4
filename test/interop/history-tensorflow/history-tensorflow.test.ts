// Histories on TensorFlow itself: `@tensorflow/tfjs-node-gpu`, its addon compiled against the library of PyPI's TensorFlow (for the CPU).

import { itBehavesOn } from '../history-device.ts';
import { describeWithPeers } from '../peers.ts';

describeWithPeers('histories on tfjs-node-gpu', ['history-tensorflow'], folder => {
  itBehavesOn('tensorflow', folder, /^tensorflow, tensorflow-cpu==/);
});
