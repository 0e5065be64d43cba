import { State, stateName } from "@weir/live";
import { useRef } from "preact/hooks";
import { chartOrder } from "../data/order";
import type { Series } from "../data/series";
import { ChartHost } from "./chart-host";
import { formatAge, formatBand, formatValue } from "./format";
import { useHold } from "./hold";
import { Icon, StateLabel } from "./icons";
import { SeriesLink } from "./link";
import { useModel } from "./model";
import { pagesOf, perPage, turned } from "./pages";
import { SilenceNote } from "./silences";

/** A series whose newest reading is older than this, ms, is shown as silent. */
const SILENT = 10_000;

/** A page of live charts: those that need attention in front. */
export function Charts() {
  const model = useModel();
  const hold = useHold();
  const order = useRef<Series[]>([]);
  const matching = model.matching.value;
  const wanted = chartOrder(matching, model.store.now());
  // Under the pointer or the keyboard's focus nothing moves, unless the set itself changed.
  if (!hold.held || !sameSet(order.current, wanted)) order.current = wanted;
  const each = perPage();
  const pages = pagesOf(order.current.length, each);
  const page = turned(model.view.value.page, 0, pages);
  const shown = order.current.slice(page * each, (page + 1) * each);
  return (
    <section class="charts" aria-label="Charts" id="charts">
      <div class="section-head">
        <h2>Charts</h2>
        <Legend />
        <Pager page={page} pages={pages} first={page * each + 1} shown={shown.length} of={matching.length} />
      </div>
      <div class="grid" {...hold.handlers}>
        {shown.map((series) => (
          <ChartCard key={series.name} series={series} />
        ))}
      </div>
    </section>
  );
}

function sameSet(a: readonly Series[], b: readonly Series[]): boolean {
  if (a.length !== b.length) return false;
  const set = new Set(a);
  return b.every((s) => set.has(s));
}

function Pager(p: { page: number; pages: number; first: number; shown: number; of: number }) {
  const model = useModel();
  const to = (page: number) => model.go({ page });
  return (
    <nav class="pager" aria-label="Pages of charts">
      <span>{p.of === 0 ? "none" : `${p.first}–${p.first + p.shown - 1} of ${p.of}`}</span>
      <button
        type="button"
        class="icon-button"
        aria-label="Previous page"
        disabled={p.page === 0}
        onClick={() => to(p.page - 1)}
      >
        <Icon name="left" />
      </button>
      <button
        type="button"
        class="icon-button"
        aria-label="Next page"
        disabled={p.page >= p.pages - 1}
        onClick={() => to(p.page + 1)}
      >
        <Icon name="right" />
      </button>
    </nav>
  );
}

export function Legend() {
  return (
    <ul class="legend" aria-label="Legend">
      <li class="swatch-line">value</li>
      <li class="swatch-average">moving average</li>
      <li class="swatch-band">expected</li>
      <li class="swatch-envelope">min–max</li>
    </ul>
  );
}

function ChartCard({ series }: { series: Series }) {
  const model = useModel();
  model.tick.value;
  const u = series.latest;
  const state = stateName(series.state);
  const age = series.age(model.store.now());
  const band = formatBand(u.lo, u.hi);
  const marked = series.state >= State.anomalous ? ` is-${state}` : "";
  return (
    <article class={`card chart-card${marked}`} data-testid="chart-card" data-series={series.name}>
      <div class="card-head">
        <h3>
          <SeriesLink name={series.name} class="stretched">
            <span class="metric" title={series.metric}>
              {series.metric}
            </span>
            <span class="device" title={series.device}>
              <bdi>{series.device}</bdi>
            </span>
          </SeriesLink>
        </h3>
        <div class="card-now">
          <output class="last" data-testid="last">
            {formatValue(u.last)}
          </output>
          <StateLabel state={state} severity={series.severity} />
        </div>
      </div>
      <SilenceNote of={model.store.silences.ofSeries(series.name)} />
      <ChartHost
        series={series}
        kind="small"
        label={`${series.name}: last ${formatValue(u.last)}, average ${formatValue(u.avg)}, expected ${band}, ${state}`}
      />
      <div class="card-foot">
        <span title="Moving average">avg {formatValue(u.avg)}</span>
        <span class="expected" title="Expected band">
          {Number.isNaN(u.lo) ? "learning what to expect" : `expected ${band}`}
        </span>
        <span class={age > SILENT ? "old" : ""} title="Age of the newest reading">
          {series.timeBase === "arrival" ? "by arrival · " : ""}
          {formatAge(age)}
        </span>
      </div>
    </article>
  );
}
