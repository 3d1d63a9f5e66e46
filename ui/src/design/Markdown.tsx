import { lazy, Suspense } from "react";

const MarkdownText = lazy(() =>
  import("./MarkdownText").then((module) => ({ default: module.MarkdownText })),
);

interface Props {
  children: string;
  /** What the text is, for the names of its code blocks. */
  label: string;
}

/** Show Markdown that somebody wrote. Its parser is large and loaded when there is a text. */
export function Markdown(props: Props) {
  return (
    <Suspense fallback={<p>{props.children}</p>}>
      <MarkdownText {...props} />
    </Suspense>
  );
}

/** Return a README without the metadata that hubs put before the text. */
export function withoutFrontMatter(text: string): string {
  return text.replace(/^\uFEFF?---\r?\n[\s\S]*?\r?\n---[^\S\n]*(\r?\n|$)/, "");
}
