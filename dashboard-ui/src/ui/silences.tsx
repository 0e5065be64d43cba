import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import type { Silence } from "../data/silences";
import { formatMinute } from "./format";
import { Icon } from "./icons";
import { useModel } from "./model";

/** On a card: who silenced it, until when and why. Of several, the one that lasts longest. */
export function SilenceNote({ of }: { of: readonly Silence[] }) {
  const model = useModel();
  const longest = of.at(-1);
  if (!longest) return null;
  const texts = of.map((s) => describe(s, model.store.now()));
  return (
    <p class="silence-note" title={texts.join("\n")} data-testid="silence-note">
      <Icon name="mute" />
      <span>
        {texts.at(-1)}
        {of.length > 1 && ` (and ${of.length - 1} more)`}
      </span>
    </p>
  );
}

function describe(s: Silence, now: number): string {
  const what = scope(s);
  return `${what ? `${what} silenced` : "Silenced"} until ${formatMinute(s.until, now)} by ${s.by}${s.comment ? `: ${s.comment}` : ""}`;
}

/** What it is about if that is not every alert of its series. */
function scope({ rules = [], severities = [] }: Silence): string {
  return [...rules, ...severities].join(", ");
}

/** All that are in force, to be ended. */
export function SilenceList() {
  const model = useModel();
  model.slowTick.value;
  const active = model.store.silences.active();
  if (active.length === 0) return null;
  return (
    <section class="silences" aria-label="Silences" data-testid="silences">
      <div class="section-head">
        <h2>Silences</h2>
        <span class="count">{active.length} in force</span>
      </div>
      <ul class="card">
        {active.map((s) => (
          <Item key={s.id} silence={s} />
        ))}
      </ul>
    </section>
  );
}

function Item({ silence }: { silence: Silence }) {
  const model = useModel();
  return (
    <li class="silence" data-testid="silence" data-silence={silence.id}>
      <p>
        <strong>{silence.series}</strong> {scope(silence) && <span class="muted">{scope(silence)}</span>}
      </p>
      <p class="muted">
        until {formatMinute(silence.until, model.store.now())} by {silence.by}
      </p>
      {silence.comment && <p>{silence.comment}</p>}
      {model.mayAct() && <End id={silence.id} />}
    </li>
  );
}

/** Asks once more, for what was quiet is news again at once. */
function End({ id }: { id: string }) {
  const model = useModel();
  const step = useSignal<"idle" | "asking" | "busy">("idle");
  const problem = useSignal("");
  const keep = useRef<HTMLButtonElement>(null);
  const end = async () => {
    step.value = "busy";
    problem.value = "";
    const outcome = await model.actions.endSilence(id);
    step.value = "idle";
    if (outcome.kind === "failed") problem.value = outcome.problem;
  };
  const ask = () => {
    step.value = "asking";
    // The button that was pressed goes: its focus stays here, on what does no harm.
    requestAnimationFrame(() => keep.current?.focus());
  };
  return (
    <div class="silence-end">
      {step.value === "idle" ? (
        <button type="button" class="action" onClick={ask}>
          End
        </button>
      ) : (
        <>
          <span>End it now?</span>
          <button type="button" class="action" disabled={step.value === "busy"} onClick={() => void end()}>
            Yes, end
          </button>
          <button
            ref={keep}
            type="button"
            class="action"
            disabled={step.value === "busy"}
            onClick={() => {
              step.value = "idle";
            }}
          >
            Keep
          </button>
        </>
      )}
      <p class="action-outcome is-failed" role="status" hidden={!problem.value}>
        {problem.value}
      </p>
    </div>
  );
}
