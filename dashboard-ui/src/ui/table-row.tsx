import { State, stateName } from "@weir/live";
import { extremes } from "../data/extent";
import type { Series } from "../data/series";
import { formatAge, formatCount, formatValue } from "./format";
import { StateLabel } from "./icons";
import { SeriesLink } from "./link";
import { useModel } from "./model";

export interface SeriesRowProps {
  readonly series: Series;
  readonly index: number;
  readonly focusable: boolean;
  readonly selected: boolean;
  readonly onFocus: () => void;
}

export function SeriesRow({ series, index, focusable, selected, onFocus }: SeriesRowProps) {
  const model = useModel();
  model.tick.value;
  const u = series.latest;
  const now = model.store.now();
  const from = Math.max(now, series.history.newestTime) - model.view.value.window * 1000;
  const { min, max } = extremes(series.history, from);
  const state = stateName(series.state);
  const open = () => {
    model.go({ series: series.name }, "push");
    scrollTo({ top: 0 });
  };
  return (
    <tr
      data-index={index}
      data-state={state}
      data-series={series.name}
      aria-rowindex={index + 2}
      aria-selected={selected}
      tabIndex={focusable ? 0 : -1}
      class={series.state >= State.anomalous ? `is-${state}` : ""}
      onFocus={onFocus}
      onKeyDown={(e) => {
        if (e.key === "Enter" && e.target === e.currentTarget) open();
      }}
    >
      <td class="c-state">
        <StateLabel state={state} severity={series.severity} />
      </td>
      <td class="c-series">
        <SeriesLink name={series.name} class="row-link" tabIndex={-1}>
          <span class="device">{series.device ? `${series.device}/` : ""}</span>
          <span class="metric">{series.metric}</span>
        </SeriesLink>
      </td>
      <td class="num strong">{formatValue(u.last)}</td>
      <td class="num wide">{formatValue(u.avg)}</td>
      <td class="num wide">{formatValue(min)}</td>
      <td class="num wide">{formatValue(max)}</td>
      <td class="num wide">
        <span class="score">
          <meter min={0} max={1} value={u.score} aria-hidden="true" />
          {u.score.toFixed(2)}
        </span>
      </td>
      <td class="num wide">{formatCount(u.n)}</td>
      <td class="num">{formatAge(series.age(now))}</td>
    </tr>
  );
}
