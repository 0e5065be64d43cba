import { STATE_NAMES, type StateName } from "@weir/live";
import { useEffect, useRef } from "preact/hooks";
import { Icon, StateLabel } from "./icons";
import { useModel } from "./model";

const KEYS: readonly (readonly [string, string])[] = [
  ["/", "filter the series"],
  ["p", "edit the pattern"],
  ["1 2 3", "time window of 1, 5, 15 minutes"],
  ["[ ]", "previous, next page of charts"],
  ["↑ ↓ Home End", "move in the table"],
  ["Enter", "open the series"],
  ["Esc", "close the alert or the series"],
  ["t", "theme"],
];

const MEANING: Record<StateName, string> = {
  alert: "an alert is open, or values are far outside what was expected",
  anomalous: "unusual, but not enough for an alert",
  offline: "readings are missing for longer than a rule permits",
  warming: "still learning what to expect",
  ok: "as expected",
};

const STATES = [...STATE_NAMES].reverse();

export function Help() {
  const { helpOpen } = useModel();
  const dialog = useRef<HTMLDialogElement>(null);
  const open = helpOpen.value;
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  const close = () => {
    helpOpen.value = false;
  };
  return (
    <dialog ref={dialog} class="card help" onClose={close} aria-labelledby="help-title">
      <button type="button" class="icon-button" aria-label="Close" onClick={close}>
        <Icon name="close" />
      </button>
      <h2 id="help-title">Keys</h2>
      <dl>
        {KEYS.map(([key, what]) => (
          <div key={key}>
            <dt>
              {key.split(" ").map((k) => (
                <kbd key={k}>{k}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <h2>Symbols</h2>
      <dl>
        {STATES.map((state) => (
          <div key={state}>
            <dt>
              <StateLabel state={state} />
            </dt>
            <dd>{MEANING[state]}</dd>
          </div>
        ))}
      </dl>
    </dialog>
  );
}
