import { STATE_NAMES, type StateName } from "@weir/live";
import { urgency } from "../data/order";
import { formatCount } from "./format";
import { StateIcon } from "./icons";
import { useModel } from "./model";

const WORST_FIRST = [...STATE_NAMES.keys()].sort((a, b) => urgency(b) - urgency(a));

/** How many series are in each state; a press shows only those. */
export function Summary() {
  const model = useModel();
  model.slowTick.value;
  const { state: chosen } = model.view.value;
  const counts = STATE_NAMES.map(() => 0);
  for (const series of model.store.all()) {
    counts[series.state] = (counts[series.state] ?? 0) + 1;
  }
  const choose = (state: StateName | "") => model.go({ state, page: 0, series: "" });
  return (
    <fieldset class="summary" aria-label="States">
      <button type="button" aria-pressed={chosen === ""} onClick={() => choose("")}>
        <strong>{formatCount(model.store.size)}</strong> series
      </button>
      {WORST_FIRST.map((n) => {
        const state = STATE_NAMES[n];
        if (!state) return null;
        const count = counts[n] ?? 0;
        return (
          <button
            key={state}
            type="button"
            class={count === 0 ? "none" : `state-${state}`}
            aria-pressed={chosen === state}
            onClick={() => choose(chosen === state ? "" : state)}
          >
            <StateIcon state={state} />
            <strong>{formatCount(count)}</strong> {state}
          </button>
        );
      })}
    </fieldset>
  );
}
