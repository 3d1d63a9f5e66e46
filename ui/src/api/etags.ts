/** Changes name the version that they change, so that two people don't overwrite each other. */

/** A thing with the version that a change of it must name. */
export interface Versioned<Value> {
  value: Value;
  version: string;
}

/** Return an answer with its version. */
export function versioned<Value>(data: Value | undefined, response: Response): Versioned<Value> {
  return { value: data as Value, version: response.headers.get("ETag") ?? "*" };
}

/** Return the header that names a version; without one, whatever is there is changed. */
export function ifMatch(version = "*"): { "If-Match": string } {
  return { "If-Match": version };
}
