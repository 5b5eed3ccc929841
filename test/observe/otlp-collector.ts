import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

interface Owner {
  teardown(handler: () => unknown): void;
}

export interface SeenLink {
  readonly traceId: string;
  readonly spanId: string;
}

export interface SeenSpan extends SeenLink {
  readonly parentId: string;
  readonly traceState: string;
  readonly name: string;
  /** 1 internal, 2 server, 3 client. */
  readonly kind: number;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly links: readonly SeenLink[];
  /** 2: an error. */
  readonly status: number;
  readonly resource: Readonly<Record<string, string | number | boolean>>;
}

/** Takes traces as OTLP over HTTP with protobuf, and remembers them. */
export class Collector {
  readonly spans: SeenSpan[] = [];
  /** All that was sent, as octets. */
  readonly raw: Buffer[] = [];
  readonly paths: string[] = [];

  private constructor(
    readonly server: Server,
    private readonly isSilent: boolean,
  ) {
    server.on("request", async (request, response) => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      const body = Buffer.concat(parts);
      this.raw.push(body);
      this.paths.push(`${request.method} ${request.url} ${request.headers["content-type"]}`);
      this.spans.push(...spansOf(body));
      if (!this.isSilent) response.writeHead(200, { "content-type": "application/x-protobuf" }).end();
    });
  }

  /** `isSilent`: takes everything and answers nothing. */
  static async start(t: Owner, isSilent = false): Promise<Collector> {
    const collector = new Collector(createServer(), isSilent);
    collector.server.listen(0, "127.0.0.1");
    await once(collector.server, "listening");
    t.teardown(() => {
      collector.server.closeAllConnections();
      collector.server.close();
    });
    return collector;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }
}

type Fields = Map<number, (Buffer | bigint)[]>;

/** The wire format: fields by their number, in order; groups do not occur. */
function fieldsOf(bytes: Buffer): Fields {
  const fields: Fields = new Map();
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const octet = bytes[at++]!;
      value |= BigInt(octet & 0x7f) << shift;
      if (octet < 0x80) return value;
    }
  };
  const take = (length: number) => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const wire = tag & 7;
    const value = wire === 0 ? varint() : wire === 1 ? take(8) : wire === 5 ? take(4) : take(Number(varint()));
    const number = tag >> 3;
    fields.set(number, [...(fields.get(number) ?? []), value]);
  }
  return fields;
}

const parts = (fields: Fields, number: number) => (fields.get(number) ?? []) as Buffer[];
const text = (fields: Fields, number: number) => parts(fields, number)[0]?.toString() ?? "";
const hex = (fields: Fields, number: number) => parts(fields, number)[0]?.toString("hex") ?? "";
const whole = (fields: Fields, number: number) => Number((fields.get(number)?.[0] as bigint | undefined) ?? 0n);

function spansOf(body: Buffer): SeenSpan[] {
  return parts(fieldsOf(body), 1).flatMap((resourceSpans) => {
    const group = fieldsOf(resourceSpans);
    const resource = attributesOf(parts(fieldsOf(parts(group, 1)[0] ?? Buffer.alloc(0)), 1));
    return parts(group, 2).flatMap((scope) =>
      parts(fieldsOf(scope), 2).map((span) => spanOf(fieldsOf(span), resource)),
    );
  });
}

function spanOf(span: Fields, resource: SeenSpan["resource"]): SeenSpan {
  return {
    traceId: hex(span, 1),
    spanId: hex(span, 2),
    traceState: text(span, 3),
    parentId: hex(span, 4),
    name: text(span, 5),
    kind: whole(span, 6),
    attributes: attributesOf(parts(span, 9)),
    links: parts(span, 13).map((link) => ({ traceId: hex(fieldsOf(link), 1), spanId: hex(fieldsOf(link), 2) })),
    status: whole(fieldsOf(parts(span, 15)[0] ?? Buffer.alloc(0)), 3),
    resource,
  };
}

function attributesOf(pairs: readonly Buffer[]): Record<string, string | number | boolean> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const value = fieldsOf(parts(fieldsOf(pair), 2)[0]!);
      const read = value.has(1) ? text(value, 1) : value.has(2) ? whole(value, 2) === 1 : whole(value, 3);
      return [text(fieldsOf(pair), 1), read];
    }),
  );
}
