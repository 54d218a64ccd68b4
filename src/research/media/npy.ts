// NumPy's files, for the parts that see the research API alone.
export { encodeNpy } from '../../sdk/media/npy.ts';
