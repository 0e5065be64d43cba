import { useComputed, useSignalEffect } from "@preact/signals";
import { AlertDetail } from "./alert-detail";
import { Banners } from "./banners";
import { Blank } from "./blank";
import { Charts } from "./charts";
import { Feed } from "./feed";
import { Focus } from "./focus";
import { Header } from "./header";
import { Help } from "./help";
import { useModel } from "./model";
import { SignIn } from "./sign-in";
import { Summary } from "./summary";
import { SeriesTable } from "./table";

export function App() {
  const model = useModel();
  const empty = useComputed(() => {
    model.tick.value;
    return model.store.size === 0;
  });
  const dimmed = useComputed(() => model.link.value.name !== "live");
  useSignalEffect(() => {
    model.slowTick.value;
    const firing = model.store.alerts.firing();
    if (model.who.value.name === "signed-out") document.title = "Sign in · Weir";
    else document.title = firing > 0 ? `(${firing}) Weir` : "Weir";
  });
  const who = model.who.value;
  if (who.name === "signed-out") return <SignIn state={who} />;
  return (
    <>
      <Banners />
      <Header />
      {empty.value ? (
        <main class="blank-main">
          <Blank />
        </main>
      ) : (
        <main class={`main ${dimmed.value ? "not-live" : ""}`}>
          <Summary />
          <div class="primary-column">
            <Primary />
            <SeriesTable />
          </div>
          <Feed />
        </main>
      )}
      <Help />
    </>
  );
}

function Primary() {
  const { series, alert } = useModel().view.value;
  if (alert) return <AlertDetail id={alert} key={alert} />;
  return series ? <Focus name={series} /> : <Charts />;
}
