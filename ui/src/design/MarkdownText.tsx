import { Anchor } from "@mantine/core";
import { Children, isValidElement, type ReactNode } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { Code } from "./Code";
import classes from "./Markdown.module.css";

interface Props {
  children: string;
  /** What the text is, for the names of its code blocks. */
  label: string;
}

/**
 * Show Markdown that somebody wrote. Raw HTML in it is shown as text, links lead to new tabs, and
 * images become links: the page loads nothing from elsewhere.
 */
export function MarkdownText({ children, label }: Props) {
  return (
    <div className={classes.text}>
      <ReactMarkdown remarkPlugins={PLUGINS} components={componentsFor(label)}>
        {children}
      </ReactMarkdown>
    </div>
  );
}

const PLUGINS = [remarkGfm];
const known = new Map<string, Components>();

function componentsFor(label: string): Components {
  let components = known.get(label);
  if (!components) {
    components = makeComponents(label);
    known.set(label, components);
  }
  return components;
}

function makeComponents(label: string): Components {
  return {
    // The page has a heading of the first level already.
    h1: ({ children }) => <h2>{children}</h2>,
    h2: ({ children }) => <h3>{children}</h3>,
    h3: ({ children }) => <h4>{children}</h4>,
    h4: ({ children }) => <h5>{children}</h5>,
    h5: ({ children }) => <h6>{children}</h6>,
    a: ({ href, children }) => <Outside href={href}>{children}</Outside>,
    img: ({ src, alt }) => (
      <Outside href={typeof src === "string" ? src : undefined}>{alt || src}</Outside>
    ),
    // A box of a task list has no name that could be read out; a character says the same.
    input: ({ checked }) => <span>{checked ? "☑ " : "☐ "}</span>,
    pre: ({ children }) => <Code label={label}>{textOf(children).replace(/\n$/, "")}</Code>,
    table: ({ children }) => (
      <section className={classes.table} tabIndex={0} aria-label={label}>
        <table>{children}</table>
      </section>
    ),
  };
}

function Outside({ href, children }: { href: string | undefined; children: ReactNode }) {
  // Links within the text lead nowhere here: its headings have no names of their own.
  if (!href || !/^(https?:|mailto:)/i.test(href)) return <>{children}</>;
  return (
    <Anchor href={href} target="_blank" rel="noopener noreferrer nofollow" inherit>
      {children}
    </Anchor>
  );
}

function textOf(node: ReactNode): string {
  return Children.toArray(node)
    .map((child) => {
      if (typeof child === "string" || typeof child === "number") return String(child);
      if (isValidElement<{ children?: ReactNode }>(child)) return textOf(child.props.children);
      return "";
    })
    .join("");
}
