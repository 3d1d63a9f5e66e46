/** Sources of imports, as a form has them and as they are sent. Pure functions. */
import type { ImportRequest } from "@/api/uploads";
import type { Options } from "./options";

export type ImportKind = "url" | "s3" | "hub";
type Source = ImportRequest["source"];

export interface SourceDraft {
  url: string;
  uri: string;
  region: string;
  endpoint: string;
  repository: string;
  revision: string;
  split: string;
  subset: string;
  file: string;
  /** Variables, and the names of the secrets that fill them. */
  secrets: Record<string, string>;
}

export const NO_SOURCE: SourceDraft = {
  url: "",
  uri: "",
  region: "us-east-1",
  endpoint: "",
  repository: "",
  revision: "",
  split: "",
  subset: "",
  file: "",
  secrets: {},
};

/** Return the source that was filled in; null while it is not complete. */
export function sourceOf(kind: ImportKind, draft: SourceDraft): Source | null {
  const text = (value: string) => value.trim() || null;
  if (kind === "url")
    return /^https?:\/\/\S+$/.test(draft.url.trim()) ? { kind, url: draft.url.trim() } : null;
  if (kind === "s3") {
    if (!/^s3:\/\/[A-Za-z0-9][A-Za-z0-9.-]{1,61}[A-Za-z0-9]\/.+$/.test(draft.uri.trim()))
      return null;
    return {
      kind,
      uri: draft.uri.trim(),
      region: text(draft.region) ?? "us-east-1",
      endpoint: text(draft.endpoint),
    };
  }
  const repository = draft.repository.trim().replace(/^https?:\/\/[^/]+\/datasets\//, "");
  if (!/^[A-Za-z0-9._-]{1,96}(\/[A-Za-z0-9._-]{1,96})?$/.test(repository)) return null;
  return {
    kind,
    repository,
    revision: text(draft.revision),
    split: text(draft.split),
    subset: text(draft.subset),
    file: text(draft.file),
  };
}

/** Return the command that starts the same import. */
export function commandOf(
  source: Source,
  name: string,
  draft: Pick<SourceDraft, "secrets"> & Pick<Options, "map" | "mode" | "key" | "quarantine">,
): string {
  const parts = ["aiplatform datasets import", quote(addressOf(source))];
  const option = (flag: string, value: string | null | undefined) => {
    if (value) parts.push(`${flag} ${quote(value)}`);
  };
  option("--name", name.trim());
  if (source.kind === "s3") {
    option("--region", source.region);
    option("--endpoint", source.endpoint);
  } else if (source.kind === "hub") {
    option("--split", source.split);
    option("--subset", source.subset);
    option("--file", source.file);
  }
  for (const [column, target] of Object.entries(draft.map)) option("--map", `${column}=${target}`);
  if (draft.mode !== "replace") {
    option("--mode", draft.mode);
    option("--key", draft.key);
  }
  if (draft.quarantine) option("--bad-rows", "quarantine");
  for (const [variable, secret] of Object.entries(draft.secrets))
    option("--secret", `${variable}=${secret}`);
  return parts.join(" ");
}

function addressOf(source: Source): string {
  if (source.kind === "url") return source.url;
  if (source.kind === "s3") return source.uri;
  return `hub:${source.repository}${source.revision ? `@${source.revision}` : ""}`;
}

function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
