import { at, isSettledState } from "./record.js";
import type { Scratch } from "./scratch.js";
import type { Segment } from "./segment.js";

/** In place of a length: the record is gone, only its id follows. */
const goneMark = 0x80000000;
const idBytes = 32;

/** Where a record lies in the segment, and what is asked of it most. */
export interface Place {
  readonly from: number;
  readonly length: number;
  /** While it is in flight, in doubt or free; a settled record is read from the file. */
  readonly record: Buffer | undefined;
  readonly settledAtMs: number;
  readonly expiresAtMs: number;
}

export type Staged = ReadonlyMap<string, Buffer | "gone">;

/** What one segment of the journal says, by the id of the record: the last word of each. */
export class Generation {
  readonly places = new Map<string, Place | "gone">();

  constructor(readonly segment: Segment) {}

  get(id: string): Buffer | "gone" | undefined {
    const place = this.places.get(id);
    if (place === undefined || place === "gone") return place;
    return place.record ?? this.segment.read(place.from, place.length);
  }

  /** Takes in a frame's payload that lies at `payloadAt` of the segment. Returns the ids, as they are in the frame. */
  take(payload: Buffer, payloadAt: number, ids?: Buffer[]): void {
    let position = 0;
    while (position < payload.length) {
      const length = payload.readUInt32LE(position);
      const from = position + 4;
      const id = payload.toString("latin1", from, from + idBytes);
      ids?.push(Buffer.from(payload.subarray(from, from + idBytes)));
      if (length === goneMark) {
        this.places.set(id, "gone");
        position = from + idBytes;
      } else {
        this.places.set(id, placeOf(payload, from, length, payloadAt));
        position = from + length;
      }
    }
  }
}

function placeOf(payload: Buffer, from: number, length: number, payloadAt: number): Place {
  return {
    from: payloadAt + from,
    length,
    record: isSettledState(payload[from + at.state]!) ? undefined : Buffer.from(payload.subarray(from, from + length)),
    settledAtMs: payload.readDoubleLE(from + at.updatedAtMs),
    expiresAtMs: payload.readDoubleLE(from + at.expiresAtMs),
  };
}

/** The payload of a frame that says what was staged, behind `headBytes` of room: in `scratch`, valid as long as that. */
export function encodeFrame(staged: Staged, headBytes: number, scratch: Scratch): Buffer {
  let size = headBytes;
  for (const record of staged.values()) size += 4 + (record === "gone" ? idBytes : record.length);
  const frame = scratch.take(size);
  let position = headBytes;
  for (const [id, record] of staged) {
    if (record === "gone") {
      position = frame.writeUInt32LE(goneMark, position);
      position += frame.write(id, position, "latin1");
    } else {
      position = frame.writeUInt32LE(record.length, position);
      frame.set(record, position);
      position += record.length;
    }
  }
  return frame;
}
