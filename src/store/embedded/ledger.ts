import { join } from "node:path";
import { type Database, open, type RootDatabase } from "lmdb";
import { at } from "./record.js";

const options = { encoding: "binary", keyEncoding: "binary" } as const;

export class Ledger {
  readonly #env: RootDatabase<Buffer, Buffer>;
  readonly #records: Database<Buffer, Buffer>;

  constructor(folder: string) {
    this.#env = open<Buffer, Buffer>({
      path: join(folder, "records.mdb"),
      noSubdir: true,
      overlappingSync: false,
      maxDbs: 4,
      mapSize: 64 * 2 ** 30,
      ...options,
    });
    this.#records = this.#env.openDB<Buffer, Buffer>("records", options);
  }

  transact(work: () => void): void {
    this.#env.transactionSync(() => {
      work();
    });
  }

  get(id: string): Buffer | undefined {
    const found = this.#records.getBinary(Buffer.from(id, "latin1"));
    return found && Buffer.from(found.buffer, found.byteOffset, found.byteLength);
  }

  put(record: Buffer): void {
    this.#records.put(record.subarray(0, at.id + 32), record);
  }

  remove(id: string): void {
    this.#records.remove(Buffer.from(id, "latin1"));
  }

  all(): Buffer[] {
    return [...this.#records.getRange({})].map(({ value }) => value);
  }

  async close(): Promise<void> {
    await this.#env.close();
  }
}
