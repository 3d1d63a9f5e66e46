import type uPlot from "uplot";
import type { XKind } from "./options";
import { type Series, toCsv } from "./series";

/** Save a chart as a picture, on the background of the page. */
export function downloadPng(chart: uPlot, title: string): void {
  const source = chart.ctx.canvas;
  const canvas = document.createElement("canvas");
  canvas.width = source.width;
  canvas.height = source.height;
  const context = canvas.getContext("2d");
  if (!context) return;
  context.fillStyle = getComputedStyle(document.body).backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(source, 0, 0);
  canvas.toBlob((blob) => blob && save(blob, `${title}.png`));
}

export function downloadCsv(x: XKind, series: readonly Series[], title: string): void {
  save(new Blob([toCsv(x, series)], { type: "text/csv" }), `${title}.csv`);
}

export function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name.replaceAll(/[\\/:]/g, "-");
  link.click();
  URL.revokeObjectURL(url);
}
