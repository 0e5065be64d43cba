import { ProtocolError } from "./parse.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Reads protobuf's wire format. https://protobuf.dev/programming-guides/encoding/ */
export class Reader {
  private at = 0;
  private readonly view: DataView;

  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.at >= this.bytes.length;
  }

  /** A varint that is at most 2^53; of larger ones the last digits are lost. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const b = this.byte();
      value += (b & 0x7f) * scale;
      if (b < 0x80) return value;
      scale *= 128;
    }
    throw new ProtocolError("a varint of more than ten bytes");
  }

  /** A zigzag varint, exact as far as numbers are. */
  signed(): number {
    const first = this.byte();
    let half = (first & 0x7f) >> 1;
    if (first >= 0x80) half += this.varint() * 64;
    return first & 1 ? -half - 1 : half;
  }

  double(): number {
    return this.view.getFloat64(this.skip(8), true);
  }

  /** What a field of variable length holds. */
  chunk(): Uint8Array {
    const length = this.varint();
    const from = this.skip(length);
    return this.bytes.subarray(from, from + length);
  }

  text(): string {
    try {
      return utf8.decode(this.chunk());
    } catch {
      throw new ProtocolError("a text is not UTF-8");
    }
  }

  /** Call field for each field of the message with its number; what it does not read is passed over. */
  each(field: (number: number, wire: number) => void): void {
    while (!this.done) {
      const head = this.varint();
      const wire = head & 7;
      const before = this.at;
      field(Math.floor(head / 8), wire);
      if (this.at === before) this.pass(wire);
    }
  }

  private pass(wire: number): void {
    if (wire === 0) this.varint();
    else if (wire === 1) this.skip(8);
    else if (wire === 2) this.chunk();
    else if (wire === 5) this.skip(4);
    else throw new ProtocolError(`a field of wire type ${wire}`);
  }

  byte(): number {
    const b = this.bytes[this.at++];
    if (b === undefined) throw new ProtocolError("the message ends early");
    return b;
  }

  /** The place where so many bytes begin that are passed over. */
  private skip(length: number): number {
    const from = this.at;
    if (from + length > this.bytes.length) throw new ProtocolError("the message ends early");
    this.at += length;
    return from;
  }
}
