import "uplot/dist/uPlot.min.css";
import "./style/tokens.css";
import "./style/layout.css";
import "./style/base.css";
import "./style/header.css";
import "./style/banners.css";
import "./style/summary.css";
import "./style/charts.css";
import "./style/focus.css";
import "./style/table.css";
import "./style/feed.css";
import "./style/blank.css";
import "./style/help.css";
import "./style/alerts.css";
import "./style/sign-in.css";
import { render } from "preact";
import { App } from "./ui/app";
import { listenForKeys } from "./ui/keys";
import { Model, ModelProvider } from "./ui/model";

const root = document.getElementById("app");
if (!root) throw new Error("index.html has no #app");
const model = new Model();
render(
  <ModelProvider value={model}>
    <App />
  </ModelProvider>,
  root,
);
listenForKeys(model);
model.start();
