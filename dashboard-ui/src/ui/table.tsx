import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { type SortKey, sortSeries } from "../data/order";
import type { Series } from "../data/series";
import { useHold } from "./hold";
import { useModel } from "./model";
import { SeriesRow } from "./table-row";

/** px; the same as --row in tokens.css. */
const ROW = 36;
const VIEWPORT_ROWS = 14;
/** Rows made beyond each edge of the viewport. */
const OVERSCAN = 4;

interface Column {
  readonly title: string;
  readonly key?: SortKey;
  readonly class: string;
  readonly hint: string;
}

const COLUMNS: readonly Column[] = [
  { title: "State", key: "worst", class: "c-state", hint: "Worst first" },
  { title: "Series", key: "name", class: "c-series", hint: "By name" },
  { title: "Last", key: "last", class: "num", hint: "Newest value" },
  { title: "Average", class: "num wide", hint: "Moving average" },
  { title: "Min", class: "num wide", hint: "Lowest in the time window" },
  { title: "Max", class: "num wide", hint: "Highest in the time window" },
  { title: "Score", key: "score", class: "num wide", hint: "Anomaly score, 0 to 1" },
  { title: "n", key: "n", class: "num wide", hint: "Readings merged into the newest row" },
  { title: "Age", key: "age", class: "num", hint: "Age of the newest reading" },
];

/** All matching series. Only the rows in sight exist, so ten thousand are no more work than thirty. */
export function SeriesTable() {
  const model = useModel();
  const hold = useHold();
  const order = useRef<{ rows: Series[]; key: string }>({ rows: [], key: "" });
  const scroll = useSignal(0);
  const active = useSignal(0);
  const { sort, filter, state, pattern, series: open } = model.view.value;
  const matching = model.matching.value;
  const key = [sort.key, sort.descending, filter, state, pattern, matching.length].join("\n");
  if (!hold.held || order.current.key !== key) {
    order.current = { rows: sortSeries(matching, sort, model.store.now()), key };
  }
  const rows = order.current.rows;
  const first = Math.max(0, Math.floor(scroll.value / ROW) - OVERSCAN);
  const last = Math.min(rows.length, first + VIEWPORT_ROWS + 2 * OVERSCAN);
  const current = Math.min(active.value, Math.max(0, rows.length - 1));

  const move = (to: number, body: HTMLElement) => {
    const target = Math.max(0, Math.min(rows.length - 1, to));
    active.value = target;
    const box = body.closest<HTMLElement>(".table-scroll");
    if (box) reveal(box, target);
    requestAnimationFrame(() => body.querySelector<HTMLElement>(`[data-index="${target}"]`)?.focus());
  };
  const onKeyDown = (e: KeyboardEvent & { currentTarget: HTMLElement }) => {
    const step = STEPS[e.key];
    if (step === undefined) return;
    e.preventDefault();
    move(current + step, e.currentTarget);
  };

  return (
    <section class="series" aria-label="Series" id="series">
      <TableHead count={rows.length} total={model.store.size} />
      <div
        class="table-scroll card"
        style={{ height: `${Math.max(4, Math.min(rows.length, VIEWPORT_ROWS)) * ROW + ROW + 2}px` }}
        onScroll={(e) => {
          scroll.value = e.currentTarget.scrollTop;
        }}
        {...hold.handlers}
      >
        <table aria-rowcount={rows.length + 1} data-testid="table">
          <thead>
            <tr aria-rowindex={1}>
              {COLUMNS.map((c) => (
                <HeadCell key={c.title} column={c} />
              ))}
            </tr>
          </thead>
          <tbody onKeyDown={onKeyDown}>
            <Spacer rows={first} />
            {rows.slice(first, last).map((series, i) => (
              <SeriesRow
                key={series.name}
                series={series}
                index={first + i}
                focusable={first + i === current}
                selected={series.name === open}
                onFocus={() => {
                  active.value = first + i;
                }}
              />
            ))}
            <Spacer rows={rows.length - last} />
          </tbody>
        </table>
        {rows.length === 0 && (
          <p class="blank">{filter || state ? "No series passes the filter." : "No series yet."}</p>
        )}
      </div>
    </section>
  );
}

const STEPS: Record<string, number> = {
  ArrowDown: 1,
  ArrowUp: -1,
  j: 1,
  k: -1,
  PageDown: VIEWPORT_ROWS - 1,
  PageUp: 1 - VIEWPORT_ROWS,
  Home: Number.NEGATIVE_INFINITY,
  End: Number.POSITIVE_INFINITY,
};

function reveal(box: HTMLElement, index: number): void {
  const top = index * ROW;
  const room = box.clientHeight - ROW;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + ROW > box.scrollTop + room) box.scrollTop = top + ROW - room;
}

function Spacer({ rows }: { rows: number }) {
  if (rows <= 0) return null;
  return (
    <tr class="spacer" style={{ height: `${rows * ROW}px` }}>
      <td />
    </tr>
  );
}

function TableHead({ count, total }: { count: number; total: number }) {
  const model = useModel();
  const { filter } = model.view.value;
  return (
    <div class="section-head">
      <h2>Series</h2>
      <span class="count">{count === total ? total : `${count} of ${total}`}</span>
      <input
        id="filter"
        type="search"
        class="filter"
        placeholder="Filter by name or state  ( / )"
        aria-label="Filter series by name or state"
        value={filter}
        spellcheck={false}
        onInput={(e) => model.go({ filter: e.currentTarget.value, page: 0 })}
      />
    </div>
  );
}

function HeadCell({ column }: { column: Column }) {
  const model = useModel();
  const { sort } = model.view.value;
  const { key } = column;
  if (!key) {
    return (
      <th class={column.class} scope="col" title={column.hint}>
        {column.title}
      </th>
    );
  }
  const active = sort.key === key;
  const order = active ? (sort.descending ? "descending" : "ascending") : "none";
  const toggle = () => {
    const descending = active ? !sort.descending : key !== "name";
    model.go({ sort: { key, descending } });
  };
  return (
    <th class={column.class} scope="col" aria-sort={order}>
      <button type="button" title={column.hint} onClick={toggle}>
        {column.title}
        <span class="arrow" aria-hidden="true">
          {active ? (sort.descending ? "↓" : "↑") : ""}
        </span>
      </button>
    </th>
  );
}
