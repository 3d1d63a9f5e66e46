/** The address to return to after signing in, from the query of the page. */
export function readNext(search: Record<string, unknown>): { next?: string } {
  return typeof search.next === "string" ? { next: search.next } : {};
}

/** What single sign-on returns with. */
export function readSso(search: Record<string, unknown>) {
  const text = (value: unknown) =>
    typeof value === "string" || typeof value === "number" ? String(value) : undefined;
  return { code: text(search.code), state: text(search.state), error: text(search.error) };
}
