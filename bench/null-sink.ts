// An OTLP/HTTP server that takes everything, keeps nothing and prints its port: what a sender costs without a receiver.
import http from 'node:http';
import type { AddressInfo } from 'node:net';

const server = http.createServer((request, response) => {
  request.resume();
  request.once('end', () => {
    response.writeHead(200, { 'content-type': request.headers['content-type'] ?? 'application/x-protobuf' });
    // An empty body is the protobuf of full success; JSON needs its braces.
    response.end(request.headers['content-type'] === 'application/json' ? '{}' : '');
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
