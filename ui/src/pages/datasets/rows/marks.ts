/** Parts of texts that a search or a finding of the report points at. Pure functions. */
import type { Report } from "@/api/reports";

export interface Mark {
  pattern: RegExp;
  /** Why it is marked. */
  title: string;
}

export interface MarkedPiece {
  text: string;
  title: string | null;
}

/** What the rows of these findings have in their texts, roughly: enough to lead the eye. */
const PATTERNS: Record<string, RegExp> = {
  personal_email: /[\w.+-]+@[\w-]+(\.[\w-]+)+/g,
  personal_ip_address: /\b\d{1,3}(\.\d{1,3}){3}\b/g,
  personal_phone: /(\+?\d[\d\s()-]{7,}\d)/g,
  personal_bank_card: /\b\d(?:[ -]?\d){12,18}\b/g,
  personal_china_id: /\b\d{17}[\dXx]\b/g,
  damaged_text: /\uFFFD+|[ÃÂâ][\u0080-\u00BF€™œ]+/g,
  markup: /<\/?[a-zA-Z][^<>]{0,200}>|&[a-z]{2,8};|&#\d+;/g,
  whitespace: /[ \t\u3000]{2,}|\n{3,}|^\s+|\s+$/g,
};

const LEAST = 3;

/** Return a pattern of exactly this text, in any case; null for one that is too short to mean much. */
export function literal(text: string): RegExp | null {
  const plain = text.replace(/…$/, "").trim();
  if (!plain) return null;
  return new RegExp(plain.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");
}

/** Return the marks of a finding: its pattern, or the texts that the report shows of a row. */
export function findingMarks(
  report: Report | undefined,
  code: string | undefined,
  place: number,
  title: (code: string) => string,
): Mark[] {
  const marks: Mark[] = [];
  for (const finding of report?.findings ?? []) {
    const pattern = finding.code === code ? PATTERNS[finding.code] : undefined;
    if (pattern) marks.push({ pattern, title: title(finding.code) });
    for (const example of finding.examples) {
      if (example.row !== place || example.text.length < LEAST) continue;
      const shown = literal(example.text);
      if (shown) marks.push({ pattern: shown, title: title(finding.code) });
    }
  }
  return marks;
}

/** Return the findings that are known to concern a row. */
export function findingsOf(report: Report | undefined, place: number): string[] {
  return (report?.findings ?? [])
    .filter(
      (finding) =>
        finding.examples.some((example) => example.row === place) ||
        finding.groups?.some((group) => group.includes(place)),
    )
    .map((finding) => finding.code);
}

/** Divide a text into pieces with and without a mark; of overlapping marks, the first counts. */
export function markText(text: string, marks: readonly Mark[]): MarkedPiece[] {
  const spans: { start: number; end: number; title: string }[] = [];
  for (const { pattern, title } of marks)
    for (const hit of text.matchAll(pattern))
      if (hit[0]) spans.push({ start: hit.index, end: hit.index + hit[0].length, title });
  spans.sort((a, b) => a.start - b.start);
  const pieces: MarkedPiece[] = [];
  let done = 0;
  for (const { start, end, title } of spans) {
    if (start < done) continue;
    if (start > done) pieces.push({ text: text.slice(done, start), title: null });
    pieces.push({ text: text.slice(start, end), title });
    done = end;
  }
  if (done < text.length || pieces.length === 0)
    pieces.push({ text: text.slice(done), title: null });
  return pieces;
}
