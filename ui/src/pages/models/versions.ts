import type { Model } from "@/api/types";

export interface ModelRow {
  model: Model;
  /** Older versions of the same model, newest first. */
  older: Model[];
}

/** Group models, newest first, by name: the newest version of each, with the older ones. */
export function groupVersions(models: readonly Model[]): ModelRow[] {
  const rows = new Map<string, ModelRow>();
  for (const model of models) {
    const key = `${model.project ?? ""}/${model.name}`;
    const row = rows.get(key);
    if (row) row.older.push(model);
    else rows.set(key, { model, older: [] });
  }
  return [...rows.values()];
}

/** Return the name by which a version is known: `faq@2`. */
export function modelLabel(model: { name: string; version: string | null }): string {
  return model.version ? `${model.name}@${model.version}` : model.name;
}
