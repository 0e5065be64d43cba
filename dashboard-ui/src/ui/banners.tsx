import { closeMeaning } from "@weir/live/meanings";
import { formatTime } from "./format";
import { Icon } from "./icons";
import { useModel } from "./model";

/** Strips above the page: an open server, and a connection that does not deliver. */
export function Banners() {
  const model = useModel();
  model.tick.value;
  return (
    <>
      {model.store.insecure && (
        <p class="banner warn" role="alert" data-testid="insecure">
          <Icon name="warning" />
          <span>
            Open to everyone: this server runs with <span class="nowrap">--insecure-open</span>. Whoever
            reaches it can read and write.
          </span>
        </p>
      )}
      <ExpiryBanner />
      <LinkBanner />
    </>
  );
}

function ExpiryBanner() {
  const model = useModel();
  model.tick.value;
  const { expiresAt } = model.store;
  if (!expiresAt || model.who.value.name !== "signed-in") return null;
  return (
    <p class="banner warn" role="status" data-testid="expiring">
      <span>Your session ends at {formatTime(expiresAt * 1000)}.</span>
      <button type="button" onClick={() => model.access.again()}>
        Sign in again
      </button>
    </p>
  );
}

function LinkBanner() {
  const model = useModel();
  model.tick.value;
  const link = model.link.value;
  const kept = model.store.size > 0 ? " What you see is the last that arrived." : "";
  if (link.name === "stale") {
    return <p class="banner warn toast">The server has fallen silent; waiting for it.{kept}</p>;
  }
  if (link.name === "reconnecting") {
    const seconds = Math.max(0, Math.ceil((link.retryAt - performance.now()) / 1000));
    return (
      <p class="banner warn toast" data-testid="reconnecting">
        <span>
          Connection lost: {closeMeaning(link.code, link.reason)}.{kept} Next try in {seconds} s
        </span>
        <button type="button" onClick={() => model.retry()}>
          Try now
        </button>
      </p>
    );
  }
  if (link.name === "refused") {
    return (
      <p class="banner bad toast" role="alert" data-testid="refused">
        <Icon name="warning" />
        <span>
          The server refused this page: {closeMeaning(link.code, link.reason)} (code {link.code}).{kept}
        </span>
        <button type="button" onClick={() => model.retry()}>
          Try again
        </button>
      </p>
    );
  }
  return null;
}
