import { useSignal } from "@preact/signals";
import type { Points } from "@weir/live";
import { stateName } from "@weir/live";
import { useCallback } from "preact/hooks";
import { extremes } from "../data/extent";
import type { Series } from "../data/series";
import { ChartHost } from "./chart-host";
import { Legend } from "./charts";
import { formatAge, formatBand, formatCount, formatTime, formatValue } from "./format";
import { Icon, StateLabel } from "./icons";
import { useModel } from "./model";

/** One series, large. */
export function Focus({ name }: { name: string }) {
  const model = useModel();
  model.slowTick.value;
  const series = model.store.get(name);
  return (
    <section class="focus card" aria-label={`Series ${name}`} data-testid="focus">
      <div class="focus-head">
        <button type="button" class="back" onClick={() => model.go({ series: "" }, "push")}>
          <Icon name="left" />
          All charts
        </button>
        <h2>
          <span class="device">{name.slice(0, name.lastIndexOf("/") + 1)}</span>
          <wbr />
          <span class="metric">{name.slice(name.lastIndexOf("/") + 1)}</span>
        </h2>
        {series && <FocusNow series={series} />}
      </div>
      <Instant />
      {series ? <FocusBody series={series} key={name} /> : <NoSuchSeries />}
    </section>
  );
}

/** Where somebody was led: a line in the chart as long as the window holds it, and a word when it does not. */
function Instant() {
  const model = useModel();
  model.slowTick.value;
  const { at, window } = model.view.value;
  if (at === 0) return null;
  const age = model.store.now() - at / 1000;
  return (
    <p class="instant" role="status" data-testid="instant">
      <Icon name="right" />
      <span>
        {formatTime(at, model.store.now())}, {formatAge(Math.max(0, age))} ago.{" "}
        {age > window * 1000
          ? "The chart does not reach back to it; the alert has the values of that time."
          : "It is marked in the chart."}
      </span>
      <button type="button" onClick={() => model.go({ at: 0 })}>
        Remove the mark
      </button>
    </p>
  );
}

function FocusNow({ series }: { series: Series }) {
  const model = useModel();
  model.tick.value;
  return (
    <div class="card-now">
      <output class="last">{formatValue(series.latest.last)}</output>
      <StateLabel state={stateName(series.state)} severity={series.severity} />
    </div>
  );
}

function NoSuchSeries() {
  return (
    <div class="blank">
      <p>No readings of this series have arrived, or the pattern above does not select it.</p>
    </div>
  );
}

function FocusBody({ series }: { series: Series }) {
  const readout = useSignal<string>("");
  const onCursor = useCallback(
    (points: Points, index: number | null) => {
      readout.value = index === null || index >= points.size ? "" : describe(points, index);
    },
    [readout],
  );
  return (
    <>
      <div class="focus-sub">
        <Legend />
        <output class="readout">{readout.value || "Move over the chart to read values"}</output>
      </div>
      <ChartHost series={series} kind="large" label={`Chart of ${series.name}`} onCursor={onCursor} />
      <Facts series={series} />
    </>
  );
}

function describe(points: Points, index: number): string {
  const k = points.at(index);
  const value = (column: Float64Array) => formatValue(column[k] ?? Number.NaN);
  const time = formatTime((points.time[k] ?? 0) * 1000);
  const range = points.min[k] === points.max[k] ? "" : ` (${value(points.min)} … ${value(points.max)})`;
  const expected = Number.isNaN(points.lo[k] ?? Number.NaN)
    ? ""
    : `  expected ${formatBand(points.lo[k] ?? Number.NaN, points.hi[k] ?? Number.NaN)}`;
  return `${time}  ${value(points.last)}${range}  avg ${value(points.avg)}${expected}`;
}

function Facts({ series }: { series: Series }) {
  const model = useModel();
  model.tick.value;
  const u = series.latest;
  const window = model.view.value.window;
  const now = model.store.now();
  const seen = extremes(series.history, Math.max(now, series.history.newestTime) - window * 1000);
  const facts: [string, string, string][] = [
    ["average", formatValue(u.avg), "Moving average"],
    ["expected", formatBand(u.lo, u.hi), "Expected band"],
    [`min, ${window / 60} min`, formatValue(seen.min), "Lowest value in the window"],
    [`max, ${window / 60} min`, formatValue(seen.max), "Highest value in the window"],
    ["score", u.score.toFixed(2), "Highest anomaly score in the newest row, 0 to 1"],
    ["age", formatAge(series.age(now)), "Age of the newest reading"],
    ["readings", formatCount(series.readings), "Readings since this page was opened"],
    ["rows", formatCount(series.rows), "Rows they came in"],
    ["left out", formatCount(series.leftOut), "Readings that were late or invalid"],
    ["pipeline", formatAge((u.emit_ts - u.ingest_ts) / 1000), "From ingest to the pipeline's output"],
  ];
  return (
    <dl class="facts">
      {facts.map(([name, value, title]) => (
        <div key={name} title={title}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
