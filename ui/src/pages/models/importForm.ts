import type { Schema } from "@/api/types";
import type { ImportKind } from "./search";

export interface ImportDraft {
  package: string;
  repository: string;
  revision: string;
  name: string;
  /** The name was typed, and is no longer made from the source. */
  named: boolean;
  version: string;
  license: string;
  shared: boolean;
  /** The secret that holds the hub's token. */
  secret: string;
}

export const EMPTY_IMPORT: ImportDraft = {
  package: "",
  repository: "",
  revision: "",
  name: "",
  named: false,
  version: "",
  license: "",
  shared: false,
  secret: "",
};

export function isUpload(kind: ImportKind): boolean {
  return kind === "directory" || kind === "gguf";
}

/** Return true if the text names a repository of a hub: `owner/name`. */
export function isRepository(text: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9._-]*\/[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(text.trim());
}

function source(kind: ImportKind, draft: ImportDraft): Schema<"ModelIn">["source"] | null {
  if (isUpload(kind)) return { kind: "upload" };
  if (kind === "package") {
    const name = draft.package.trim();
    return name ? { kind: "package", package: name } : null;
  }
  if (!isRepository(draft.repository)) return null;
  return {
    kind: "hub",
    repository: draft.repository.trim(),
    revision: draft.revision.trim() || null,
  };
}

/** Return the request that creates the model, or null while something is missing. */
export function modelBody(kind: ImportKind, draft: ImportDraft): Schema<"ModelIn"> | null {
  const from = source(kind, draft);
  if (!from || !draft.name.trim()) return null;
  return {
    name: draft.name.trim(),
    version: draft.version.trim() || null,
    source: from,
    license: draft.license.trim() || null,
    shared: draft.shared,
    secrets: kind === "hub" && draft.secret ? { HF_TOKEN: draft.secret } : {},
  };
}

/** Return the command that does the same. */
export function importCommand(kind: ImportKind, draft: ImportDraft): string {
  const from = {
    package: `package:${draft.package.trim() || "PACKAGE"}`,
    hub: `hub:${draft.repository.trim() || "OWNER/NAME"}`,
    directory: "./FOLDER",
    gguf: "./FILE.gguf",
  }[kind];
  const options = [
    draft.name.trim() && `--name ${draft.name.trim()}`,
    draft.license.trim() && `--license ${quoted(draft.license.trim())}`,
    kind === "hub" && draft.secret && `--secret HF_TOKEN=${draft.secret}`,
  ].filter(Boolean);
  return ["aiplatform models import", from, ...options].join(" ");
}

function quoted(text: string): string {
  return /^[\w.-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
