import { cloneElement, type ReactElement } from "react";
import type { PreviewKind } from "./PreviewCard";

const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

interface Props {
  kind: PreviewKind;
  uuid: string;
  /** The reference itself: an element that passes `data-` attributes on. */
  children: ReactElement<{ "data-preview"?: string }>;
}

/**
 * Show the essentials of a thing while the pointer or the focus rests on a reference to it.
 *
 * The reference is only marked: one `PreviewHost` serves the whole page, so that a long table pays
 * nothing for its many references.
 */
export function Preview({ kind, uuid, children }: Props) {
  // What is referred to by name may be several things; its page tells which.
  if (!UUID.test(uuid)) return children;
  return cloneElement(children, { "data-preview": `${kind}:${uuid}` });
}
