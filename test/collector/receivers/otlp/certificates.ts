// Certificates for tests of TLS, made on the spot.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/** A certificate authority and certificates of a server and a client, made by openssl: ca, server, client with `.pem` and `.key` in `directory`. */
export function makeCertificates(directory: string): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'ignore' });
  const keyType = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...keyType,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-days',
    '2',
    '-subj',
    '/CN=test ca',
  );
  fs.writeFileSync(path.join(directory, 'names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1');
  for (const [name, common] of [
    ['server', 'localhost'],
    ['client', 'client'],
  ]) {
    openssl('req', ...keyType, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${common}`);
    openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'],
      ...['-out', `${name}.pem`, '-days', '2', '-extfile', 'names'],
    );
  }
}
