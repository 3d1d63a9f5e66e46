/** Return true if one of the held permissions grants the wanted one. */
export function covers(held: readonly string[], wanted: string): boolean {
  const resource = wanted.split(":")[0];
  return held.includes("*") || held.includes(`${resource}:*`) || held.includes(wanted);
}
