// A receiver that verifies every signature, answers as it is told to, and remembers.

import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  event: string;
  type: string;
  delivery: string;
  /** Whether it was signed with the secret that the receiver has. */
  isVerified: boolean;
  headers: Record<string, string>;
}

export class Receiver {
  readonly received: Received[] = [];
  secret = '';
  answer: { status: number; body: string; headers?: Record<string, string> } = { status: 200, body: 'thank you' };
  private constructor(private readonly server: Server) {}

  static async start(): Promise<Receiver> {
    const server = createServer();
    const receiver = new Receiver(server);
    server.on('request', (request, response) => {
      const pieces: Buffer[] = [];
      request.on('data', (piece: Buffer) => pieces.push(piece));
      request.on('end', () => {
        const body = Buffer.concat(pieces);
        const header = (name: string) => String(request.headers[name] ?? '');
        receiver.received.push({
          event: header('buildworkpro-event-id'),
          type: header('buildworkpro-event'),
          delivery: header('buildworkpro-delivery-id'),
          isVerified: receiver.verifies(header('buildworkpro-signature'), body),
          headers: request.headers as Record<string, string>,
        });
        response.writeHead(receiver.answer.status, { 'content-type': 'text/plain', ...receiver.answer.headers });
        response.end(receiver.answer.body);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/hooks`;
  }

  of(type: string): Received[] {
    return this.received.filter((each) => each.type === type);
  }

  private verifies(header: string, body: Buffer): boolean {
    const t = /(?:^|,)t=(\d+)/.exec(header)?.[1];
    const v1 = /(?:^|,)v1=([0-9a-f]+)/.exec(header)?.[1];
    if (!t || !v1) return false;
    const expected = createHmac('sha256', this.secret).update(`${t}.`).update(body).digest();
    const given = Buffer.from(v1, 'hex');
    return given.length === expected.length && timingSafeEqual(given, expected);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
