import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { SERVICE, type SignInService } from "../access/access";
import type { AccessState } from "../access/machine";
import { Icon, Logo } from "./icons";
import { useModel } from "./model";

/** In place of everything else while the server does not know who looks. */
export function SignIn({ state }: { state: Extract<AccessState, { name: "signed-out" }> }) {
  return (
    <main class="sign-in">
      <div class="card sign-in-card" data-testid="sign-in">
        <header>
          <Logo />
          <h1>Sign in to Weir</h1>
        </header>
        {state.why && (
          <p class="sign-in-why" role="status" data-testid="sign-in-why">
            {state.why}
          </p>
        )}
        <KeyForm busy={state.busy} problem={state.problem} />
        <Service />
        <Where />
      </div>
    </main>
  );
}

function KeyForm({ busy, problem }: { busy: boolean; problem: string }) {
  const model = useModel();
  const input = useRef<HTMLInputElement>(null);
  const empty = useSignal(false);
  useEffect(() => input.current?.focus(), []);
  useEffect(() => {
    if (!problem) return;
    input.current?.focus();
    input.current?.select();
  }, [problem]);
  const submit = (event: Event) => {
    event.preventDefault();
    const token = input.current?.value.trim() ?? "";
    empty.value = token === "";
    if (token === "") input.current?.focus();
    else if (!busy) void model.access.signIn(token);
  };
  const shown = empty.value ? "Paste an API key or a token first." : problem;
  return (
    <form onSubmit={submit} aria-busy={busy}>
      <label for="credential">API key or token</label>
      <div class="sign-in-row">
        <input
          ref={input}
          id="credential"
          type="password"
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          readOnly={busy}
          onInput={() => {
            empty.value = false;
          }}
          aria-invalid={shown !== ""}
          aria-describedby="credential-problem"
        />
        <button type="submit" class="primary" disabled={busy}>
          {busy ? "Signing in…" : "Sign in"}
        </button>
      </div>
      <p id="credential-problem" class="sign-in-problem" role="alert">
        {shown && (
          <>
            <Icon name="warning" />
            <span>{shown}</span>
          </>
        )}
      </p>
    </form>
  );
}

/** The way by a sign-in service, where the server has one. */
function Service() {
  const model = useModel();
  const service = useSignal<SignInService>("none");
  useEffect(() => {
    let gone = false;
    void model.access.service().then((s) => {
      if (!gone) service.value = s;
    });
    return () => {
      gone = true;
    };
  }, [model, service]);
  if (service.value === "none") return null;
  return (
    <div class="sign-in-service">
      <span class="or">or</span>
      {service.value === "ready" ? (
        <a class="wide-button" href={SERVICE} onClick={() => model.rememberView()}>
          Sign in with your organisation
        </a>
      ) : (
        <p>Your organisation's sign-in service cannot be reached at the moment.</p>
      )}
    </div>
  );
}

function Where() {
  return (
    <details class="sign-in-where">
      <summary>Where do I get one?</summary>
      <ul>
        <li>
          On the machine that runs Weir: <code>weir serve</code> prints a link that signs this browser in,
          once, and keeps a key in <code>credentials/local.key</code> of its data directory.
        </li>
        <li>
          From an administrator: <code>weir key create</code> makes a key of your own.
        </li>
      </ul>
    </details>
  );
}
