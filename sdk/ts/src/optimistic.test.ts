import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { settled } from "./fakes.ts";
import { Optimistic } from "./optimistic.ts";

interface Value {
  readonly version: number;
  readonly done: readonly number[];
}

describe("optimistic values", () => {
  it("end as the server's, whatever the order in which answers and values come", async () => {
    // Each write is answered with its version or refused, and its value arrives before or after that, in order.
    const write = fc.record({ refused: fc.boolean(), answerAt: fc.nat(40), valueAt: fc.nat(40) });
    await fc.assert(
      fc.asyncProperty(fc.array(write, { minLength: 1, maxLength: 6 }), async (writes) => {
        const book = new Optimistic<Value>((v) => v.version);
        book.set("k", { version: 0, done: [] });
        const answers = writes.map((w, i) => {
          let settle: () => void = () => {};
          const done = new Promise<number>((resolve, reject) => {
            settle = () => (w.refused ? reject(new Error("refused")) : resolve(i + 1));
          });
          book.patch("k", (v) => ({ ...v, done: [...v.done, i] }), done).catch(() => {});
          return settle;
        });
        expect(book.get("k")?.done).toEqual(writes.map((_, i) => i));
        const stored = writes.map((w, i) => ({ ...w, i })).filter((w) => !w.refused);
        let value: Value = { version: 0, done: [] };
        for (let t = 0; t <= 40; t++) {
          for (const [i, w] of writes.entries()) if (w.answerAt === t) answers[i]?.();
          await settled();
          for (const w of stored) {
            const due = stored.filter((s) => s.i <= w.i).every((s) => s.valueAt <= t);
            if (!due || value.version > w.i) continue;
            value = { version: w.i + 1, done: [...value.done, w.i] };
            book.set("k", value);
          }
        }
        expect(book.pending("k")).toBe(false);
        expect(book.get("k")).toEqual(value);
        expect(book.get("k")?.done).toEqual(stored.map((w) => w.i));
      }),
      { numRuns: 50 },
    );
  });

  it("are not replaced by older ones", () => {
    const book = new Optimistic<Value>((v) => v.version);
    book.set("k", { version: 2, done: [] });
    expect(book.set("k", { version: 1, done: [7] })).toBe(false);
    expect(book.get("k")).toEqual({ version: 2, done: [] });
  });
});
