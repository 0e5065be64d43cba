import type { ComponentChildren } from "preact";
import { useModel } from "./model";

/** Opens a series in the large chart; a real link, so that it can be copied and opened elsewhere. */
export function SeriesLink(props: {
  name: string;
  class?: string;
  tabIndex?: number;
  children: ComponentChildren;
}) {
  const model = useModel();
  return (
    <a
      href={model.href({ series: props.name })}
      class={props.class}
      tabIndex={props.tabIndex}
      onClick={(e) => {
        if (e.metaKey || e.ctrlKey || e.shiftKey || e.button !== 0) return;
        e.preventDefault();
        model.go({ series: props.name }, "push");
        scrollTo({ top: 0 });
      }}
    >
      {props.children}
    </a>
  );
}
