// Bodies of answers, against the oracle.
import { describe, expect, it } from '@jest/globals';
import protobufjs from 'protobufjs/minimal.js';
import { SIGNALS } from '../../src/otlp/model.ts';
import {
  encodeExportResponse,
  encodeStatus,
  readPartialSuccess,
  readStatus,
} from '../../src/otlp/responses.ts';
import { decode, RESPONSES } from './oracle.ts';

const REJECTED = { traces: 'rejectedSpans', metrics: 'rejectedDataPoints', logs: 'rejectedLogRecords' };

describe.each(SIGNALS)('the answer to an export of %s', signal => {
  it('is empty when everything was taken', () => {
    expect(encodeExportResponse(signal, 'protobuf')).toHaveLength(0);
    expect(Buffer.from(encodeExportResponse(signal, 'json')).toString()).toBe('{}');
  });

  it('says how many were rejected and why', () => {
    const partial = { rejected: 7, message: 'zu spät – “late”' };
    const bytes = encodeExportResponse(signal, 'protobuf', partial);
    const expected = { [REJECTED[signal]]: '7', errorMessage: partial.message };
    expect(decode(RESPONSES[signal], bytes).partialSuccess).toEqual(expected);
    expect(readPartialSuccess(bytes)).toEqual(partial);
    expect(JSON.parse(Buffer.from(encodeExportResponse(signal, 'json', partial)).toString())).toEqual({
      partialSuccess: expected,
    });
  });
});

describe('a status', () => {
  it('is google.rpc.Status in both encodings', () => {
    const bytes = encodeStatus(3, 'length beyond the end', 'protobuf');
    const reader = protobufjs.Reader.create(bytes);
    expect([reader.uint32(), reader.int32(), reader.uint32(), reader.string()]).toEqual([
      0x08,
      3,
      0x12,
      'length beyond the end',
    ]);
    expect(readStatus(bytes)).toEqual({ code: 3, message: 'length beyond the end' });
    expect(JSON.parse(Buffer.from(encodeStatus(14, 'busy', 'json')).toString())).toEqual({
      code: 14,
      message: 'busy',
    });
  });
});

describe('an answer of somebody else', () => {
  it('that cannot be read says nothing', () => {
    for (const bytes of [Buffer.from('0aff', 'hex'), Buffer.from('<html>'), Buffer.from('0f', 'hex')]) {
      expect(readPartialSuccess(bytes)).toEqual({ rejected: 0, message: '' });
      expect(readStatus(bytes)).toEqual({ code: 0, message: '' });
    }
  });
});
