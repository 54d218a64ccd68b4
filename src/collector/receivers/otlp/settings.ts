// Settings of the otlp receiver, as the upstream Collector has them; limits that it leaves open have safe defaults.
import { z } from 'zod';
import { authSettings } from '../../config/authenticators.ts';
import {
  block,
  byteCount,
  duration,
  mebibytes,
  optionalBlock,
  parseEndpoint,
  plainHeaders,
} from '../../config/values.ts';
import { DEFAULT_LIMITS, DEFAULT_PATHS } from './http-handler.ts';
import { type ServerTlsSettings, serverTls, tlsProblem } from './tls.ts';

const MAX_CONCURRENT_STREAMS = 100;
const MAX_RECEIVE_MIB = 64;
const transport = z.enum(['tcp', 'unix']).default('tcp');
const urlPath = z
  .string()
  .regex(/^\/[!-~]*$/, 'a path begins with / and has no blanks')
  .max(256);

const cors = optionalBlock({
  allowed_origins: z
    .array(z.string().min(1))
    .default([])
    .describe('Origins of web pages that may send; `*` stands for any run of characters'),
  allowed_headers: z
    .array(z.string().min(1))
    .default([])
    .describe('Request headers that pages may set beside those of OTLP'),
  exposed_headers: z.array(z.string().min(1)).default([]).describe('Response headers that pages may read'),
  max_age: z.int().min(0).default(0).describe('Seconds that a browser may keep the answer to its preflight'),
});

const keepalive = optionalBlock({
  server_parameters: optionalBlock({
    max_connection_idle: duration()
      .prefault('0')
      .describe('Close a connection without calls after this; 0 never does'),
    max_connection_age: duration().prefault('0').describe('Close a connection after this; 0 never does'),
    max_connection_age_grace: duration()
      .prefault('0')
      .describe('Time that calls under way get then; 0 is no end'),
    time: duration().prefault('1m').describe('Ask a silent client whether it is still there'),
    timeout: duration().prefault('20s').describe('Close the connection when no answer has come'),
  }),
  enforcement_policy: optionalBlock({
    min_time: duration().prefault('5m').describe('Taken for compatibility; has no effect'),
    permit_without_stream: z.boolean().default(false).describe('Taken for compatibility; has no effect'),
  }),
});

const grpc = optionalBlock({
  endpoint: z.string().default('localhost:4317').describe('`host:port`, or the path of a unix socket'),
  transport,
  tls: serverTls,
  auth: authSettings,
  max_recv_msg_size_mib: mebibytes()
    .max(MAX_RECEIVE_MIB)
    .default(MAX_RECEIVE_MIB)
    .describe('Largest request, before and after inflating'),
  max_concurrent_streams: z
    .int()
    .min(1)
    .default(MAX_CONCURRENT_STREAMS)
    .describe('Calls at once on one connection'),
  read_timeout: duration().prefault('30s').describe('Longest time for a request to come in; 0 is no end'),
  read_buffer_size: z.int().min(0).optional().describe('Taken for compatibility; has no effect'),
  write_buffer_size: z.int().min(0).optional().describe('Taken for compatibility; has no effect'),
  keepalive,
  include_metadata: z.boolean().default(false).describe('Taken for compatibility; has no effect'),
});

const http = optionalBlock({
  endpoint: z.string().default('localhost:4318').describe('`host:port`, or the path of a unix socket'),
  transport,
  tls: serverTls,
  auth: authSettings,
  cors,
  max_request_body_size: byteCount()
    .max(DEFAULT_LIMITS.maxBodyBytes)
    .default(DEFAULT_LIMITS.maxBodyBytes)
    .describe('Largest request in bytes, before and after inflating'),
  traces_url_path: urlPath.default(DEFAULT_PATHS.traces),
  metrics_url_path: urlPath.default(DEFAULT_PATHS.metrics),
  logs_url_path: urlPath.default(DEFAULT_PATHS.logs),
  read_header_timeout: duration()
    .prefault('10s')
    .describe('Longest time for the headers to come in; 0 is no end'),
  read_timeout: duration()
    .prefault('1m')
    .describe('Longest time for a whole request to come in; 0 is no end'),
  write_timeout: duration()
    .prefault('30s')
    .describe('Longest silence of a client that is being answered; 0 is no end'),
  idle_timeout: duration()
    .prefault('1m')
    .describe('Close a connection without requests after this; 0 never does'),
  min_bytes_per_second: z
    .int()
    .min(0)
    .default(DEFAULT_LIMITS.minBytesPerSecond)
    .describe('Slower senders are cut after a grace of 10 s'),
  keep_alives_enabled: z.boolean().default(true).describe('Several requests on one connection'),
  compression_algorithms: z
    .array(z.enum(['', 'none', 'gzip', 'zstd', 'zlib', 'deflate']))
    .default(['', 'gzip', 'zstd', 'zlib', 'deflate'])
    .describe('Content-Encodings that are taken; an empty text stands for none'),
  response_headers: plainHeaders().default({}).describe('Headers added to every answer'),
  include_metadata: z.boolean().default(false).describe('Taken for compatibility; has no effect'),
});

export const otlpReceiverSettings = z
  .strictObject({ protocols: block({ grpc, http }) })
  .superRefine(({ protocols }, context) => {
    if (protocols.grpc === undefined && protocols.http === undefined) {
      context.addIssue({
        code: 'custom',
        path: ['protocols'],
        message: 'must specify at least one protocol when using the OTLP receiver',
      });
    }
    for (const name of ['grpc', 'http'] as const) {
      const settings = protocols[name];
      if (settings === undefined) continue;
      const path = ['protocols', name];
      if (settings.transport === 'tcp' && parseEndpoint(settings.endpoint) === undefined) {
        const message = 'not an endpoint: write host:port, such as localhost:4318 or [::1]:4318';
        context.addIssue({ code: 'custom', path: [...path, 'endpoint'], message });
      }
      if (settings.transport === 'unix' && settings.endpoint === '') {
        context.addIssue({
          code: 'custom',
          path: [...path, 'endpoint'],
          message: 'must be the path of a socket',
        });
      }
      const problem = settings.tls === undefined ? undefined : tlsProblem(settings.tls as ServerTlsSettings);
      if (problem !== undefined)
        context.addIssue({ code: 'custom', path: [...path, 'tls'], message: problem });
    }
    const paths = protocols.http;
    if (paths === undefined) return;
    const used = [paths.traces_url_path, paths.metrics_url_path, paths.logs_url_path];
    if (new Set(used).size < used.length) {
      context.addIssue({
        code: 'custom',
        path: ['protocols', 'http'],
        message: 'two signals have the same path',
      });
    }
  });

export type OtlpReceiverSettings = z.infer<typeof otlpReceiverSettings>;
export type GrpcSettings = NonNullable<OtlpReceiverSettings['protocols']['grpc']>;
export type HttpSettings = NonNullable<OtlpReceiverSettings['protocols']['http']>;
