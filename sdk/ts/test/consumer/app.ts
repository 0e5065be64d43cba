// What a user of the package writes; package.test.ts checks it against the declarations that are published.
import { type ErrorCode, LiveClient, type StoredSeries } from "@weir/live";
import { closeMeaning } from "@weir/live/meanings";
import { patternError } from "@weir/live/pattern";
import { protoCodec } from "@weir/live/proto";
import { LiveWorker } from "@weir/live/worker-client";

const live = new LiveClient({ url: "https://weir.example", codec: protoCodec() });
const { sink: store } = live.subscribe({ patterns: ["plant1/#"] });
store.on("changed", (all) => {
  for (const series of all) show(series);
});
live.on("state", (state) => {
  if (state.name === "refused") console.log(closeMeaning(state.code, state.reason));
});
live.on("problem", ({ code }) => {
  const forbidden: ErrorCode = "forbidden";
  // @ts-expect-error: there is no such code
  const misspelt: ErrorCode = "forbiden";
  console.log(code === forbidden, code === misspelt, patternError("a//b"));
});

const worker = new Worker("worker.js", { type: "module" });
const inWorker = new LiveWorker(worker, { url: "https://weir.example" });
inWorker.subscribe({ patterns: ["#"] });
const { done } = inWorker.room("plant1/ops").send("chat", { text: "hello" });
done.then((version: number) => console.log(version));

function show(series: StoredSeries): void {
  const last: number = series.latest.last;
  console.log(series.name, last);
}
