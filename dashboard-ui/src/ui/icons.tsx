import type { Severity, StateName } from "@weir/live";

/** Shapes differ, so that the state can be told without colour; charts draw the same ones. */
const SHAPES: Record<StateName, preact.JSX.Element> = {
  ok: <circle cx="8" cy="8" r="4.2" fill="currentColor" />,
  warming: (
    <>
      <circle cx="8" cy="8" r="5" fill="none" stroke="currentColor" stroke-width="1.6" />
      <path d="M8 3a5 5 0 0 1 0 10z" fill="currentColor" />
    </>
  ),
  offline: (
    <>
      <circle cx="8" cy="8" r="5" fill="none" stroke="currentColor" stroke-width="1.6" />
      <path d="M4.5 11.5 11.5 4.5" stroke="currentColor" stroke-width="1.6" />
    </>
  ),
  anomalous: <path d="M8 1.8 13.6 8 8 14.2 2.4 8z" fill="currentColor" />,
  alert: <path d="M8 1.5 15 14H1z" fill="currentColor" />,
};

export function StateIcon({ state }: { state: StateName }) {
  return (
    <svg class={`icon state-${state}`} viewBox="0 0 16 16" aria-hidden="true">
      {SHAPES[state]}
    </svg>
  );
}

/** The state, and how grave what is open on the series is. */
export function StateLabel({ state, severity }: { state: StateName; severity?: Severity | undefined }) {
  return (
    <span class={`state-label state-${state}`} title={severity && `An alert of severity ${severity} is open`}>
      <StateIcon state={state} />
      {severity ? `${state} · ${severity}` : state}
    </span>
  );
}

const PATHS = {
  warning: "M8 1.5 15 14H1zM8 6v4M8 11.7v.6",
  left: "M10 3 5 8l5 5",
  right: "M6 3l5 5-5 5",
  close: "M3.5 3.5l9 9m0-9-9 9",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1m8 8 1 1M3 13l1-1m8-8 1-1",
  moon: "M13.5 9.5A6 6 0 1 1 6.5 2.5a5 5 0 0 0 7 7z",
  auto: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 2v12",
  check: "M3 8.5l3.5 3.5L13 4.5",
  flap: "M1 11.5 4.5 4l3.5 8 3.5-8L15 11.5",
  mute: "M2 6h2.5L8 3v10L4.5 10H2zM10.5 6l4 4m0-4-4 4",
} as const;

export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg class="icon stroke" viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" />
      <path d="M5 12c3-3 5.5-3 8 0s5 3 8 0 4.5-2.5 6-1.5M5 21c3-3 5.5-3 8 0s5 3 8 0 4.5-2.5 6-1.5" />
    </svg>
  );
}
