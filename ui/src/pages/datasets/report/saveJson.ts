import { save } from "@/design/chart/download";

/** Offer a value as a JSON file. */
export function saveJson(value: unknown, filename: string): void {
  save(new Blob([JSON.stringify(value, null, 2)], { type: "application/json" }), filename);
}
