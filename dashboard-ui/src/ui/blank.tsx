import { useModel } from "./model";

/** In place of charts and table while there is no series: connecting, refused, or nothing sent yet. */
export function Blank() {
  const model = useModel();
  model.tick.value;
  const link = model.link.value;
  if (link.name === "refused") {
    return (
      <Message title="No access" text="The server does not let this page in. See above for its reason." />
    );
  }
  if (link.name === "live" && !model.session.permitted) return <NoPermission />;
  if (!model.session.subscribed) {
    const title = link.name === "reconnecting" ? "Waiting for the server" : "Connecting";
    return (
      <>
        <Message title={`${title}…`} text={location.host} />
        <div class="grid skeleton" aria-hidden="true">
          {[1, 2, 3, 4, 5, 6].map((i) => (
            <div key={i} class="card chart-card" />
          ))}
        </div>
      </>
    );
  }
  const { pattern } = model.view.value;
  return pattern === "#" ? <NoReadings /> : <NoMatch pattern={pattern} />;
}

function Message({ title, text }: { title: string; text: string }) {
  return (
    <section class="card hero" role="status">
      <h2>{title}</h2>
      <p>{text}</p>
    </section>
  );
}

function NoPermission() {
  const model = useModel();
  const { readable } = model.session;
  const { pattern } = model.view.value;
  return (
    <section class="card hero" role="status" data-testid="no-permission">
      <h2>
        Your credentials show nothing of <code>{pattern}</code>
      </h2>
      {readable.length > 0 ? (
        <>
          <p>They permit these series:</p>
          <ul class="patterns">
            {readable.slice(0, 12).map((p) => (
              <li key={p}>
                <button type="button" onClick={() => model.setPattern(p)}>
                  <code>{p}</code>
                </button>
              </li>
            ))}
          </ul>
        </>
      ) : (
        <p>They permit no series at all. Ask an administrator for others.</p>
      )}
    </section>
  );
}

function NoMatch({ pattern }: { pattern: string }) {
  const model = useModel();
  return (
    <section class="card hero" data-testid="empty">
      <h2>
        No series matches <code>{pattern}</code>
      </h2>
      <p>
        It will appear here as soon as a device sends one. + stands for one segment, a last # for any number.
      </p>
      <button type="button" class="primary" onClick={() => model.setPattern("#")}>
        Show all series
      </button>
    </section>
  );
}

function NoReadings() {
  const origin = location.origin;
  const socket = `${origin.replace(/^http/, "ws")}/v1/ingest`;
  const guarded = useModel().who.value.name === "signed-in";
  const key = guarded ? ` -H "X-API-Key: $KEY"` : "";
  const curl = `curl ${origin}/v1/readings${key} -d '{"device":"demo/room1","metric":"temperature","value":21.5}'`;
  return (
    <section class="card hero" data-testid="empty">
      <h2>Ready for the first reading</h2>
      <p>
        The server is up and this page is connected. Charts appear by themselves as soon as something is sent.
      </p>
      {guarded && (
        <p>
          Devices need an API key. Run in the server's folder, the commands of <code>weir</code> find their
          own in its data directory; elsewhere <code>--data</code> or <code>--token</code> names it.
        </p>
      )}
      {guarded && (
        <Command
          title="Make a key for a device"
          text="export KEY=$(weir key create --device demo/room1 -q)"
        />
      )}
      <Command title="Send one reading" text={curl} />
      <Command
        title="Simulate a fleet of 50 devices, with faults"
        text={`weir simulate --url ${socket} --devices 50 --faults`}
      />
      <Command
        title="Stream this machine's own CPU, memory, disk and network"
        text={`weir simulate --url ${socket} --host`}
      />
    </section>
  );
}

function Command({ title, text }: { title: string; text: string }) {
  const copy = async (e: MouseEvent & { currentTarget: HTMLButtonElement }) => {
    const button = e.currentTarget;
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => {
      button.textContent = "Copy";
    }, 1500);
  };
  return (
    <div class="command">
      <h3>{title}</h3>
      <pre>
        <code>{text}</code>
      </pre>
      {"clipboard" in navigator && (
        <button type="button" onClick={copy} aria-label={`Copy: ${title}`}>
          Copy
        </button>
      )}
    </div>
  );
}
