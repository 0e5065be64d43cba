import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { golden } from "./golden.ts";
import { ProtocolError } from "./parse.ts";
import { protoCodec } from "./proto.ts";
import { Reader } from "./protobuf.ts";

const { server } = golden("live_proto.json");
const bytes = (hex: string): ArrayBuffer => new Uint8Array(Buffer.from(hex, "hex")).buffer;

describe("weir.v1.proto", () => {
  it("says what weir.v1.json says", () => {
    const codec = protoCodec();
    expect(server.length).toBeGreaterThan(0);
    for (const m of server) expect(codec.decode(bytes(m.hex)), m.name).toEqual(m.message);
  });

  it("may say it in texts", () => {
    expect(protoCodec().decode('{"type":"app_pong","payload":{"t":1}}')).toEqual({
      type: "app_pong",
      payload: { t: 1 },
    });
  });

  it("passes over fields of later servers", () => {
    const codec = protoCodec();
    const last = server.at(-1);
    for (const field of ["7801", "7a0161", `79${"00".repeat(8)}`, "7d00000000"])
      expect(codec.decode(bytes(field + last?.hex))).toEqual(last?.message);
  });

  it("is refused where it is cut short or changed, or read as something; it never fails otherwise", () => {
    const subscribed = server.filter((m) => m.message.type === "subscribed");
    fc.assert(
      fc.property(fc.constantFrom(...server), fc.nat(), fc.nat(255), fc.boolean(), (m, place, value, cut) => {
        const codec = protoCodec();
        for (const s of subscribed) codec.decode(bytes(s.hex));
        const frame = new Uint8Array(bytes(m.hex));
        const at = place % frame.length;
        frame[at] = value;
        try {
          codec.decode(cut ? frame.slice(0, at).buffer : frame.buffer);
        } catch (error) {
          if (!(error instanceof ProtocolError) && !(error instanceof SyntaxError)) throw error;
        }
      }),
      { numRuns: 300 },
    );
  });

  it("of nothing, or of updates of a view that was never told of, is refused", () => {
    expect(() => protoCodec().decode(new ArrayBuffer(0))).toThrow(ProtocolError);
    const updates = server.find((m) => m.message.type === "updates");
    expect(() => protoCodec().decode(bytes(updates?.hex ?? ""))).toThrow(ProtocolError);
  });
});

describe("numbers", () => {
  it("are exact up to 2^53", () => {
    const varint = (value: bigint) => {
      const all: number[] = [];
      for (let v = value; ; v >>= 7n) {
        all.push(Number(v & 0x7fn) | (v > 0x7fn ? 0x80 : 0));
        if (v <= 0x7fn) return new Reader(Uint8Array.from(all));
      }
    };
    fc.assert(
      fc.property(fc.maxSafeInteger(), (n) => {
        const big = BigInt(n);
        expect(varint(big < 0n ? -big : big).varint()).toBe(Math.abs(n));
        expect(varint(big < 0n ? -2n * big - 1n : 2n * big).signed()).toBe(n);
      }),
    );
  });
});
