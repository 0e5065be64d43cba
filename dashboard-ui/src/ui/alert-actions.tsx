import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import type { Outcome } from "../data/actions";
import { type FeedEntry, isOpen } from "../data/alerts";
import { useModel } from "./model";

type Say = { readonly kind: Outcome["kind"] | "busy"; readonly text: string };

/** What operators may do to an alert. One thing at a time; what comes of it is said below. */
export function AlertActions({ entry }: { entry: FeedEntry }) {
  const model = useModel();
  const { alert } = entry;
  const text = useSignal("");
  const assignee = useSignal("");
  const said = useSignal<Say | null>(null);
  const comment = useRef<HTMLInputElement>(null);
  if (!isOpen(entry)) return null;
  const { actions } = model;
  const marked = Boolean(alert.acknowledged) || alert.phase === "acknowledged";
  const busy = said.value?.kind === "busy";

  async function run(what: Promise<Outcome>, done: string): Promise<void> {
    said.value = { kind: "busy", text: "Sending…" };
    const outcome = await what;
    if (outcome.kind === "failed") said.value = { kind: "failed", text: outcome.problem };
    else if (outcome.kind === "accepted")
      said.value = {
        kind: "accepted",
        text: "Stored. It shows here as soon as the pipeline has applied it.",
      };
    else said.value = { kind: "done", text: done };
    if (outcome.kind !== "failed") text.value = "";
  }
  const say = (e: Event) => {
    e.preventDefault();
    const what = text.value.trim();
    if (what) void run(actions.comment(alert.id, what), "Commented.");
    else comment.current?.focus();
  };
  const assign = (e: Event) => {
    e.preventDefault();
    const to = assignee.value.trim();
    void run(actions.assign(alert.id, to), to ? `Assigned to ${to}.` : "Assigned to nobody.");
  };
  return (
    <section class="alert-actions" aria-label="Actions" data-testid="alert-actions">
      <form onSubmit={say}>
        <label class="visually-hidden" for="alert-comment">
          Comment
        </label>
        <input
          id="alert-comment"
          ref={comment}
          class="text"
          placeholder="Comment"
          maxLength={500}
          autocomplete="off"
          value={text.value}
          onInput={(e) => {
            text.value = e.currentTarget.value;
          }}
        />
        <button type="submit" class="action" disabled={busy}>
          Comment
        </button>
        {marked ? (
          <button
            type="button"
            class="action"
            disabled={busy}
            onClick={() => void run(actions.unacknowledge(alert.id), "The acknowledgement is taken back.")}
          >
            Take back
          </button>
        ) : (
          <button
            type="button"
            class="primary"
            disabled={busy}
            onClick={() => void run(actions.acknowledge(alert.id, text.value.trim()), "Acknowledged.")}
          >
            Acknowledge
          </button>
        )}
        <button
          type="button"
          class="action"
          disabled={busy}
          title={`Alerts of rule ${alert.rule} about this series are no news for an hour`}
          onClick={() => void run(actions.silence(alert, text.value.trim()), "Silenced for an hour.")}
        >
          Silence 1 h
        </button>
      </form>
      <form onSubmit={assign}>
        <label class="visually-hidden" for="alert-assignee">
          Assign to
        </label>
        <input
          id="alert-assignee"
          class="text"
          placeholder="Assign to"
          maxLength={100}
          autocomplete="off"
          value={assignee.value}
          onInput={(e) => {
            assignee.value = e.currentTarget.value;
          }}
        />
        <button type="submit" class="action" disabled={busy || (!assignee.value.trim() && !alert.assignee)}>
          {assignee.value.trim() || !alert.assignee ? "Assign" : "Assign to nobody"}
        </button>
      </form>
      <p class={`action-outcome is-${said.value?.kind ?? "none"}`} role="status" data-testid="action-outcome">
        {said.value?.text}
      </p>
    </section>
  );
}
