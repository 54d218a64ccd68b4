// How the process of a collector is started, so that the memory it was given goes back when it is not needed any more.

/**
 * Request bodies come in blocks of 64 KiB. Left to itself glibc takes them from a heap that only shrinks at its end, and
 * raises its threshold for mappings of their own with each larger block that is freed: after a burst the process would keep
 * three times what it holds. Other allocators do not read this.
 * https://www.gnu.org/software/libc/manual/html_node/Memory-Allocation-Tunables.html
 */
export const COLLECTOR_ENVIRONMENT: Readonly<Record<string, string>> = { MALLOC_MMAP_THRESHOLD_: '65536' };

/** V8's young generation is up to three of these, and is not given back while the process is idle. */
export const COLLECTOR_NODE_FLAGS: readonly string[] = ['--max-semi-space-size=16'];
