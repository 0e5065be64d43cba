import { describe, expect, it } from "vitest";
import { golden } from "./golden.ts";
import { ProtocolError, parseServerMessage } from "./parse.ts";

describe("server messages", () => {
  it("are understood, all that the server writes", () => {
    const { server } = golden("live.json");
    expect(server.length).toBeGreaterThan(0);
    for (const m of server) {
      const foreign = m.type === "receipt" && !("id" in (m.payload ?? {})); // to devices
      if (!foreign) expect(parseServerMessage(JSON.stringify(m)), m.type).toEqual(m);
    }
  });

  it("of an unknown type are ignored, for a later server may send them", () => {
    expect(parseServerMessage('{"type":"novelty","payload":{}}')).toBeNull();
    expect(parseServerMessage('{"type":"toString","payload":{}}')).toBeNull();
  });

  it.each([
    ["[]"],
    ["null"],
    ['{"payload":{}}'],
    ['{"type":7}'],
    ['{"type":"updates","payload":[]}'],
    ['{"type":"updates","payload":{"view":1,"push_ts":1}}'],
    ['{"type":"updates","payload":{"view":"1","push_ts":1,"rows":[]}}'],
    ['{"type":"welcome"}'],
  ])("that break the protocol are refused: %s", (text) => {
    expect(() => parseServerMessage(text)).toThrow(ProtocolError);
  });

  it("that are not JSON are refused", () => {
    expect(() => parseServerMessage("hello")).toThrow(SyntaxError);
  });
});
